"""Learned invertible matrices made of rotations and scales: QR and singular value decomposition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision
from ..words import check_counts
from .channels import mix, per_row, total, unmix
from .checks import expect_channels
from .orthogonal import Householder
from .triangular import Triangular


class QRLinear(Transform):
    r"""A linear map of the channels, ``z = Q (R x + b)``; ``ldj = positions * sum_i log R_ii``.

    Q is a Householder rotation, R an upper Triangular with positive diagonal: every matrix of positive determinant, each once.
    No order of the channels is preferred, so no Permute is needed beside it. The identity at the start (up to rounding).

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position forward, 2 D^2 in
    the inverse (transpose, then triangular solve) and about 4 D^3 once per pass; O(D) for the log-determinant. Exact.

    Reference: Emerging Convolutions for Generative Normalizing Flows, Hoogeboom, van den Berg, Welling, 2019,
    arXiv:1901.11137 (there without b).

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = QRLinear(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("QRLinear", dim=dim)
        self.rotation = Householder(dim)
        self.triangular = Triangular(dim, upper=True)

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("QRLinear", self.rotation.dim, x)
        q = self.rotation.matrix()
        z = mix(x, q @ self.triangular.matrix(), q @ self.triangular.bias)  # one product of factors, then one per row
        return z, per_row(x, self.triangular.log_det())

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("QRLinear", self.rotation.dim, z)
        return self.triangular.inverse(self.rotation.inverse(z)[0])


class SVDLinear(Transform):
    r"""A linear map of the channels, ``z = U diag(exp(s)) V^T x + b``; ``ldj = positions * sum(s)``.

    U and V are Householder rotations. The singular values are parameters, so that the condition number,
    ``exp(max s - min s)``, can be read off and bounded. Every matrix of positive determinant. The identity at the start (up
    to rounding).

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position and about 6 D^3 once
    per pass, in either direction: the cheapest inverse of a full matrix; O(D) for the log-determinant. Exact.

    Reference: Stabilizing Gradients for Deep Neural Networks via Efficient SVD Parameterization, Zhang, Lei, Dhillon, 2018,
    arXiv:1803.09327 (there the singular values are kept near 1; here they are free).

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = SVDLinear(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("SVDLinear", dim=dim)
        self.left = Householder(dim)
        self.right = Householder(dim)
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("SVDLinear", self.bias.numel(), x)
        matrix = self.left.matrix() * self.log_scale.exp() @ self.right.matrix().mT
        return mix(x, matrix, self.bias), per_row(x, total(self.log_scale))

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("SVDLinear", self.bias.numel(), z)
        matrix = self.right.matrix() * (-self.log_scale).exp() @ self.left.matrix().mT
        return unmix(z, matrix, self.bias), -per_row(z, total(self.log_scale))
