"""A learned invertible matrix, held as its LU factors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import full_precision, start_rows
from ..words import check_counts
from .channels import left_out, mix, on_rows, per_row, solve_triangular, total
from .checks import expect_channels
from .whole import Stage, Staged, linear_stage

SHRINKAGES = (1e-6, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # the first for columns that others determine


class LULinear(Staged):
    r"""A linear map of the channels, ``z = L U x + b``; ``ldj = positions * sum_i log U_ii``.

    ``L`` is lower triangular with ones on its diagonal, ``U`` upper triangular with diagonal ``exp(w_ii) > 0``; both live in
    one matrix of D^2 parameters. The identity at the start. Determinant positive, so reflections need a Permute beside it.
    With ``whiten``, :meth:`initialize` makes what leaves uncorrelated: behind a normal base, the Gaussian of full covariance.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position in either direction
    (the inverse by two triangular solves) and D^3 once per forward pass; O(D) for the log-determinant.

    Reference: Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 3.2; Neural Spline Flows, Durkan, Bekasov, Murray,
    Papamakarios, 2019, arXiv:1906.04032 (there ``P L U``: put a Permute before this layer).

    Arguments:
        dim: the number of channels.
        whiten: whether to start from the covariance of data.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = LULinear(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, whiten: bool = False):
        super().__init__()
        check_counts("LULinear", dim=dim)
        self.weight = nn.Parameter(torch.zeros(dim, dim))  # below the diagonal L, above it U, on it log U_ii
        self.bias = nn.Parameter(torch.zeros(dim))
        self.whiten = whiten
        self.starting_rows = start_rows(dim) if whiten else 0

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(x, self.weight, self.bias)

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper, log_diagonal = self._factors(z, self.weight)

        def solve(rows: Tensor) -> Tensor:
            return solve_triangular(solve_triangular(rows - self.bias, lower.mT, upper=True), upper.mT, upper=False)

        return on_rows(solve, z), -per_row(z, log_diagonal)

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        plain = (lambda z, *_: self.inverse(z)) if inverse else self._mapped
        return linear_stage(plain, [self.weight, self.bias])

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """With ``whiten``, the lower triangle W for which what leaves (``inverse``: the inverse) has mean 0 and covariance I.

        The covariance is shrunk towards a multiple of I, as far as cross-validation finds best, so that few rows do not overfit.
        """
        expect_channels("LULinear", self.bias.numel(), x)
        if not self.whiten or len(x) < 2:
            return
        rows = x.movedim(1, -1).reshape(-1, x.shape[1]).to("cpu", torch.float64)  # some devices have no float64
        factor = torch.linalg.cholesky(_shrunk(rows))
        matrix = factor if inverse else torch.linalg.inv(factor)
        self.weight.copy_(matrix / matrix.diagonal() + (matrix.diagonal().log() - 1).diag())
        self.bias.copy_(rows.mean(0) if inverse else -matrix @ rows.mean(0))

    def extra_repr(self) -> str:
        return str(self.bias.numel())

    def _mapped(self, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper, log_diagonal = self._factors(x, weight)
        return mix(x, lower @ upper, bias), per_row(x, log_diagonal)  # one product of factors, as batches exceed D

    def _factors(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, U and log det U."""
        expect_channels("LULinear", self.bias.numel(), x)
        log_diagonal = weight.diagonal()
        lower = weight.tril(-1) + torch.eye(self.bias.numel(), dtype=weight.dtype, device=weight.device)
        upper = weight.triu(1) + log_diagonal.exp().diag()
        return lower, upper, total(log_diagonal)


def _shrunk(rows: Tensor) -> Tensor:
    """``(1 - a) S + a (tr S / D) I`` of rows ``(N, D)``, with the a of SHRINKAGES whose Gaussian does best on rows left out."""
    shrinkages = torch.tensor(SHRINKAGES, dtype=torch.float64)[:, None]

    def shrunk(variances: Tensor) -> Tensor:
        return ((1 - shrinkages) * variances + shrinkages * variances.mean()).clamp_min(1e-12)

    loss = torch.zeros(len(shrinkages), dtype=torch.float64)
    for some, others in left_out(rows):
        variances, axes = torch.linalg.eigh(others.mT.cov(correction=0).reshape(rows.shape[1], rows.shape[1]))
        found = shrunk(variances)
        loss += (len(some) * found.log() + ((some - others.mean(0)) @ axes).square().sum(0) / found).sum(1)
    variances, axes = torch.linalg.eigh(rows.mT.cov(correction=0).reshape(rows.shape[1], rows.shape[1]))
    best = loss.argmin() if len(rows) > 2 else -1  # left out of two rows, one leaves another without a covariance
    return (axes * shrunk(variances)[best]) @ axes.mT
