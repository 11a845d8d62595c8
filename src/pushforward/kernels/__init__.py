"""Scalar maps and masked layers in C: optional, built on first use by the machine's own compiler; each has a PyTorch path beside it."""

from .again import again, special
from .build import ready, without
from .made import Plan, ScalarMap, made, made_gradient
from .mixture import MOST_COMPONENTS, Mixture, mixture, mixture_gradient, mixture_inverse
from .operators import made_operator, spline_gradient_operator, spline_operator
from .spline import MOST_BINS, spline, spline_gradient

__all__ = [
    "MOST_BINS",
    "MOST_COMPONENTS",
    "Mixture",
    "Plan",
    "ScalarMap",
    "again",
    "made",
    "made_gradient",
    "made_operator",
    "mixture",
    "mixture_gradient",
    "mixture_inverse",
    "ready",
    "special",
    "spline",
    "spline_gradient",
    "spline_gradient_operator",
    "spline_operator",
    "without",
]
