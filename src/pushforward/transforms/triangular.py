"""A learned triangular matrix: the linear map with the cheapest inverse, and the one that a batch determines exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision
from ..words import check_counts
from .channels import mix, on_rows, per_row, solve_triangular, total
from .checks import expect_channels


class Triangular(Transform):
    r"""A triangular linear map of the channels, ``z = L x + b`` with ``L_ii = exp(w_ii)``; ``ldj = positions * sum_i w_ii``.

    The linear autoregressive flow: with a standard normal base it is every Gaussian with a full covariance,
    ``N(-L^-1 b, (L^T L)^-1)``, each once. The identity at the start; :meth:`initialize` is the maximum-likelihood fit in
    closed form.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position in either direction,
    the inverse by a triangular solve; O(D) for the log-determinant. Exact.

    The half of ``weight`` beyond the diagonal is never read.

    Reference: Normalizing Flows for Probabilistic Modeling and Inference, Papamakarios, Nalisnick, Rezende, Mohamed,
    Lakshminarayanan, 2019, arXiv:1912.02762, section 3.2.

    Arguments:
        dim: the number of channels.
        upper: an upper triangle: channel i reads channels i, i+1, ... instead of 0, ..., i.

    Raises:
        ValueError: x has another number of channels; a batch to initialize from has a singular covariance.

    Example::

        >>> layer = Triangular(3)
        >>> layer.initialize(torch.randn(64, 3))
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, upper: bool = False):
        super().__init__()
        check_counts("Triangular", dim=dim)
        self.upper = upper
        self.weight = nn.Parameter(torch.zeros(dim, dim))  # on the diagonal log L_ii
        self.bias = nn.Parameter(torch.zeros(dim))

    def matrix(self) -> Tensor:
        """L: ``(D, D)``."""
        rest = self.weight.triu(1) if self.upper else self.weight.tril(-1)
        return rest + self.weight.diagonal().exp().diag()

    def log_det(self) -> Tensor:
        """log det L, a scalar."""
        return total(self.weight.diagonal())

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Triangular", self.bias.numel(), x)
        return mix(x, self.matrix(), self.bias), per_row(x, self.log_det())

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Triangular", self.bias.numel(), z)
        transposed = self.matrix().mT  # rows are solved from the right: x L^T = z - b
        x = on_rows(lambda y: solve_triangular(y - self.bias, transposed, upper=not self.upper), z)
        return x, -per_row(z, self.log_det())

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Set L and b so that what leaves (``inverse``: the inverse) is x with mean 0 and covariance I (biased: divided by N).

        ``Flow(Normal((d,)), Triangular(d))`` is then the normal with the batch's mean and covariance, the maximum of the
        likelihood. A channel that is constant in the batch is centred but not scaled.
        """
        expect_channels("Triangular", self.bias.numel(), x)
        rows = x.movedim(1, -1).reshape(-1, x.shape[1]).to("cpu", torch.float64)  # some devices have no float64
        mean, std = rows.mean(0), rows.std(0, correction=0)
        constant = std <= 1e-6 * mean.abs().clamp_min(1e-6)
        std = std.masked_fill(constant, 1.0)
        rows = ((rows - mean) / std).masked_fill(constant, 0.0)
        correlation = rows.mT @ rows / rows.shape[0] + constant.double().diag()
        if self.upper:  # the other triangle is the same in the other order of channels
            correlation = correlation.flip(0, 1)
        factor, failed = torch.linalg.cholesky_ex(correlation)
        if failed or factor.diagonal().min() < 1e-7:  # of a standard deviation is left of a channel, given those before it
            raise ValueError(
                f"Triangular: the covariance of {rows.shape[0]} rows of {rows.shape[1]} channels is singular; "
                "initialize with more rows than channels, and leave out channels that are linear combinations of others"
            )
        if self.upper:
            factor = factor.flip(0, 1)
        factor = factor * std[:, None]  # covariance = factor factor^T
        scale = factor
        if not inverse:
            scale = torch.linalg.solve_triangular(factor, torch.eye(len(std), dtype=torch.float64), upper=self.upper)
        self.weight.copy_(scale - scale.diagonal().diag() + scale.diagonal().log().diag())
        self.bias.copy_(mean if inverse else -scale @ mean)

    def extra_repr(self) -> str:
        return f"{self.bias.numel()}{', upper' if self.upper else ''}"
