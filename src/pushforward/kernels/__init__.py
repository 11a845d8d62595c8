"""Scalar maps and masked layers in C: optional, built on first use by the machine's own compiler.

Each function takes the plain path by PyTorch and computes the same: by the kernel where that can be, else by that path.
"""

from . import operators  # noqa: F401 (registers them)
from .door import Plain
from .elementwise import Mixture, Spline, mixture, spline
from .library import path, without
from .linear_map import LinearMap
from .masked_layer import AffineMap, MaskedLayer, MaskedLayout
from .run import Stage, run_stages

__all__ = [
    "AffineMap",
    "LinearMap",
    "MaskedLayer",
    "MaskedLayout",
    "Mixture",
    "Plain",
    "Spline",
    "Stage",
    "mixture",
    "path",
    "run_stages",
    "spline",
    "without",
]
