"""Scalar maps in C: optional, built on first use by the machine's own compiler, with a PyTorch path for every one of them."""

from .build import ready
from .spline import MOST_BINS, spline, spline_gradient, spline_gradient_operator, spline_operator

__all__ = ["MOST_BINS", "ready", "spline", "spline_gradient", "spline_gradient_operator", "spline_operator"]
