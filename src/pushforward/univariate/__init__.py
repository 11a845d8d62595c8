"""Monotone scalar maps, with no parameters of their own."""

from .affine import Additive, Affine
from .base import Univariate
from .spline import RationalQuadratic

__all__ = ["Additive", "Affine", "RationalQuadratic", "Univariate"]
