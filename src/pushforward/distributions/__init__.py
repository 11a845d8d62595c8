"""Bases, and likelihoods with their parameters from constants, a context or a causal net."""

from .adapter import FromTorch
from .any_order import AnyOrder
from .beta import Beta
from .causal import Causal
from .given import Free, Given
from .logistic import Logistic
from .mixture import GaussianMixture
from .multiscale import Multiscale
from .normal import Normal
from .student import StudentT
from .uniform import Uniform

__all__ = [
    "AnyOrder",
    "Beta",
    "Causal",
    "Free",
    "FromTorch",
    "GaussianMixture",
    "Given",
    "Logistic",
    "Multiscale",
    "Normal",
    "StudentT",
    "Uniform",
]
