"""Bases and likelihoods."""

from .adapter import FromTorch
from .beta import Beta
from .conditional import ConditionalNormal
from .discretized import DiscretizedLogisticMixture
from .mixture import GaussianMixture
from .normal import Normal
from .student import StudentT
from .uniform import Uniform

__all__ = [
    "Beta",
    "ConditionalNormal",
    "DiscretizedLogisticMixture",
    "FromTorch",
    "GaussianMixture",
    "Normal",
    "StudentT",
    "Uniform",
]
