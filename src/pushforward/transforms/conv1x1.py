"""A learned invertible matrix, held as it is: Glow's 1x1 convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision
from ..univariate.bisection import wide
from ..words import check_counts
from .channels import mix, on_rows, per_row
from .checks import expect_channels


class Conv1x1(Transform):
    r"""A linear map of the channels, ``z = W x``; ``ldj = positions * log|det W|``.

    W is any square matrix, of either sign of the determinant, so it holds every permutation and reflection; it starts as a random
    rotation or reflection (a plain start as the identity would leave each coupling with the same half). Nothing keeps it from
    becoming singular but the likelihood, which goes to minus infinity there; :class:`LULinear` and :class:`QRLinear` can't.
    There is no bias: ActNorm beside it has one.

    Shapes: ``(B, C, *space)``, the same matrix at every position. Cost: C^2 multiplications per position in either direction (the
    inverse by one LU decomposition and two triangular solves) and C^3 once per pass for the log-determinant. Exact.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 3.2.

    Arguments:
        channels: the size of axis 1.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = Conv1x1(12)(torch.randn(8, 12, 16, 16))
        >>> z.shape, ldj.shape
        (torch.Size([8, 12, 16, 16]), torch.Size([8]))
    """

    def __init__(self, channels: int):
        super().__init__()
        check_counts("Conv1x1", channels=channels)
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, channels)))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Conv1x1", self.weight.shape[0], x)
        return mix(x, self.weight), per_row(x, self.log_det())

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Conv1x1", self.weight.shape[0], z)
        matrix = wide(self.weight).mT  # rows are solved from the right: x W^T = z
        x = on_rows(lambda rows: torch.linalg.solve(matrix, wide(rows), left=False).to(z.dtype), z)
        return x, -per_row(z, self.log_det())

    def log_det(self) -> Tensor:
        """log|det W|, a scalar."""
        return torch.linalg.slogdet(wide(self.weight))[1]

    def extra_repr(self) -> str:
        return str(self.weight.shape[0])
