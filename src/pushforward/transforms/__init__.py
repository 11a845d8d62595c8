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
from .matrix_exp import MatrixExp
from .orthogonal import Householder, Orthogonal
from .qr import QRLinear, SVDLinear
from .reorder import Permute, Reverse
from .standardize import Standardize
from .surjections import Slice
from .triangular import Triangular

__all__ = [
    "ActNorm",
    "Autoregressive",
    "Cast",
    "Columns",
    "Coupling",
    "Dequantize",
    "Elementwise",
    "Factor",
    "Householder",
    "LULinear",
    "MatrixExp",
    "Orthogonal",
    "Permute",
    "QRLinear",
    "Reverse",
    "SVDLinear",
    "Slice",
    "Standardize",
    "Triangular",
]
