"""How one observation is spread given parameters, with no parameters of their own."""

from .base import Discrete, Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized import DiscretizedLogisticMixture
from .exponential import Exponential
from .half_normal import HalfNormal
from .laplace import Laplace
from .normal import Normal

__all__ = [
    "Bernoulli",
    "Categorical",
    "Discrete",
    "DiscretizedLogisticMixture",
    "Exponential",
    "HalfNormal",
    "Laplace",
    "Likelihood",
    "Normal",
]
