"""Layers: the ways to supply parameters to scalar maps, and maps of whole vectors."""

from .actnorm import ActNorm
from .autoregressive import Autoregressive
from .cast import Cast
from .columns import Columns
from .coupling import Coupling
from .dequantize import Dequantize
from .elementwise import Elementwise
from .factor import Factor
from .linear import LULinear
from .reorder import Permute, Reverse
from .standardize import Standardize
from .surjections import Slice

__all__ = [
    "ActNorm",
    "Autoregressive",
    "Cast",
    "Columns",
    "Coupling",
    "Dequantize",
    "Elementwise",
    "Factor",
    "LULinear",
    "Permute",
    "Reverse",
    "Slice",
    "Standardize",
]
