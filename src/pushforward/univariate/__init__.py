"""Monotone scalar maps, with no parameters of their own."""

from .affine import Additive, Affine
from .base import Univariate

__all__ = ["Additive", "Affine", "Univariate"]
