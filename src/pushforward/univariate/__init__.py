"""Monotone scalar maps, with no parameters of their own."""

from .activations import Exp, LeakyReLU, Log, Logit, Sigmoid, Softplus, Tanh
from .affine import Additive, Affine
from .base import Univariate
from .spline import RationalQuadratic

__all__ = [
    "Additive",
    "Affine",
    "Exp",
    "LeakyReLU",
    "Log",
    "Logit",
    "RationalQuadratic",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Univariate",
]
