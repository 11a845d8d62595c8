"""How one observation is spread given parameters, with no parameters of their own."""

from .base import Discrete, Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized import DiscretizedLogisticMixture
from .exponential import Exponential
from .half_normal import HalfNormal
from .integer import IntegerLogisticMixture
from .laplace import Laplace
from .normal import Normal

__all__ = [
    "Bernoulli",
    "Categorical",
    "Discrete",
    "DiscretizedLogisticMixture",
    "Exponential",
    "HalfNormal",
    "IntegerLogisticMixture",
    "Laplace",
    "Likelihood",
    "Normal",
]
