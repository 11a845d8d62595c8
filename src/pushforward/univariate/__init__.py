"""Monotone scalar maps, with no parameters of their own."""

from .activations import Exp, LeakyReLU, Log, Logit, Sigmoid, Softplus, Tanh
from .affine import Additive, Affine
from .base import Univariate
from .mixture import GaussianMixtureCDF, LogisticMixtureCDF
from .polynomial import OddPolynomial, SumOfSquares
from .spline import RationalQuadratic

__all__ = [
    "Additive",
    "Affine",
    "Exp",
    "GaussianMixtureCDF",
    "LeakyReLU",
    "Log",
    "LogisticMixtureCDF",
    "Logit",
    "OddPolynomial",
    "RationalQuadratic",
    "Sigmoid",
    "Softplus",
    "SumOfSquares",
    "Tanh",
    "Univariate",
]
