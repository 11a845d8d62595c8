"""A learned invertible matrix, held as its logarithm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision
from ..words import check_counts
from .channels import mix, per_row, total, unmix
from .checks import expect_channels


class MatrixExp(Transform):
    r"""A linear map of the channels, ``z = exp(A) x + b``; ``ldj = positions * trace(A)``.

    A is any square matrix and the inverse is ``exp(-A)``: no constraint, no solve. The identity at the start. The determinant
    is positive and a real logarithm must exist (``diag(-1, -2)`` has none), so it reaches less than LULinear with a Permute.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position and some 10 products
    of D x D matrices, more for a large norm of A, once per pass, the same in either direction; O(D) for the log-determinant.
    Exact to the precision of the exponential; a round trip loses digits with the condition number, up to ``exp(2 |A|)``.

    Reference: Generative Flows with Matrix Exponential, Xiao, Liu, 2020, arXiv:2007.09651 (there a truncated series; here
    ``torch.linalg.matrix_exp``).

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = MatrixExp(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("MatrixExp", dim=dim)
        self.weight = nn.Parameter(torch.zeros(dim, dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("MatrixExp", self.bias.numel(), x)
        return mix(x, torch.linalg.matrix_exp(self.weight), self.bias), per_row(x, total(self.weight.diagonal()))

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("MatrixExp", self.bias.numel(), z)
        return unmix(z, torch.linalg.matrix_exp(-self.weight), self.bias), -per_row(z, total(self.weight.diagonal()))

    def extra_repr(self) -> str:
        return str(self.bias.numel())
