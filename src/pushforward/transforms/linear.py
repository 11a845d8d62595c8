"""A learned invertible matrix, held as its LU factors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision
from ..words import check_counts
from .channels import mix, on_rows, per_row, solve_triangular, total
from .checks import expect_channels


class LULinear(Transform):
    r"""A linear map of the channels, ``z = L U x + b``; ``ldj = positions * sum_i log U_ii``.

    ``L`` is lower triangular with ones on its diagonal, ``U`` upper triangular with diagonal ``exp(w_ii) > 0``; both live in
    one matrix of D^2 parameters. The identity at the start. Determinant positive, so reflections need a Permute beside it.

    Shapes: ``(B, D, *space)``, the same matrix at every position. Cost: D^2 multiplications per position in either direction
    (the inverse by two triangular solves) and D^3 once per forward pass; O(D) for the log-determinant.

    Reference: Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 3.2; Neural Spline Flows, Durkan, Bekasov, Murray,
    Papamakarios, 2019, arXiv:1906.04032 (there ``P L U``: put a Permute before this layer).

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> z, ldj = LULinear(3)(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("LULinear", dim=dim)
        self.weight = nn.Parameter(torch.zeros(dim, dim))  # below the diagonal L, above it U, on it log U_ii
        self.bias = nn.Parameter(torch.zeros(dim))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper, log_diagonal = self._factors(x)
        return mix(x, lower @ upper, self.bias), per_row(x, log_diagonal)  # one product of factors, as batches exceed D

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper, log_diagonal = self._factors(z)

        def solve(rows: Tensor) -> Tensor:
            return solve_triangular(solve_triangular(rows - self.bias, lower.mT, upper=True), upper.mT, upper=False)

        return on_rows(solve, z), -per_row(z, log_diagonal)

    def extra_repr(self) -> str:
        return str(self.bias.numel())

    def _factors(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, U and log det U."""
        expect_channels("LULinear", self.bias.numel(), x)
        log_diagonal = self.weight.diagonal()
        lower = self.weight.tril(-1) + torch.eye(self.bias.numel(), dtype=self.weight.dtype, device=self.weight.device)
        upper = self.weight.triu(1) + log_diagonal.exp().diag()
        return lower, upper, total(log_diagonal)
