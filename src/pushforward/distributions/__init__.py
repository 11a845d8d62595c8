"""Bases, and likelihoods with their parameters from constants, a context or a causal net."""

from .adapter import FromTorch
from .any_order import AnyOrder
from .beta import Beta
from .causal import Causal
from .diagonal_mixture import DiagonalMixture
from .given import Free, Given
from .logistic import Logistic
from .mixture import GaussianMixture
from .multiscale import Multiscale
from .normal import Normal
from .split_prior import SplitPrior, parts, unroll
from .student import StudentT
from .uniform import Uniform
from .vamp import PseudoInputs, VampPrior

__all__ = [
    "AnyOrder",
    "Beta",
    "Causal",
    "DiagonalMixture",
    "Free",
    "FromTorch",
    "GaussianMixture",
    "Given",
    "Logistic",
    "Multiscale",
    "Normal",
    "PseudoInputs",
    "SplitPrior",
    "StudentT",
    "Uniform",
    "VampPrior",
    "parts",
    "unroll",
]
