"""Layers: the ways to supply parameters to scalar maps, and maps of whole vectors."""

from .absolute import Abs
from .actnorm import ActNorm
from .atoms import Atoms
from .augment import Augment
from .autoregressive import Autoregressive
from .block_autoregressive import BlockAutoregressive
from .cast import Cast
from .columns import Columns
from .continuous import Continuous
from .conv1x1 import Conv1x1
from .coupling import Coupling
from .dequantize import Dequantize
from .elementwise import Elementwise
from .emerging import CausalConv, EmergingConv
from .factor import Factor
from .gaps import Gaps
from .integer import IntegerCoupling
from .ladder import LadderVAE
from .latent import Latent
from .linear import LULinear
from .marginals import Marginals
from .masks import checkerboard, half_channels, half_plane
from .matrix_exp import MatrixExp
from .max_pool import MaxPool2d
from .mint import Mint
from .orthogonal import Householder, Orthogonal
from .partition import Support
from .periodic import PeriodicConv
from .planar import Planar
from .qr import QRLinear, SVDLinear
from .quantize import Quantize
from .radial import Radial
from .reorder import Permute, Reverse
from .reshape import Reshape
from .residual import Residual
from .row_triangular import RowTriangular
from .sorting import Sort, StochasticPermutation
from .squeeze import Squeeze
from .standardize import Standardize
from .surjections import Slice
from .sylvester import Sylvester
from .triangular import Triangular
from .vae import VAE

__all__ = [
    "VAE",
    "Abs",
    "ActNorm",
    "Atoms",
    "Augment",
    "Autoregressive",
    "BlockAutoregressive",
    "Cast",
    "CausalConv",
    "Columns",
    "Continuous",
    "Conv1x1",
    "Coupling",
    "Dequantize",
    "Elementwise",
    "EmergingConv",
    "Factor",
    "Gaps",
    "Householder",
    "IntegerCoupling",
    "LULinear",
    "LadderVAE",
    "Latent",
    "Marginals",
    "MatrixExp",
    "MaxPool2d",
    "Mint",
    "Orthogonal",
    "PeriodicConv",
    "Permute",
    "Planar",
    "QRLinear",
    "Quantize",
    "Radial",
    "Reshape",
    "Residual",
    "Reverse",
    "RowTriangular",
    "SVDLinear",
    "Slice",
    "Sort",
    "Squeeze",
    "Standardize",
    "StochasticPermutation",
    "Support",
    "Sylvester",
    "Triangular",
    "checkerboard",
    "half_channels",
    "half_plane",
]
