"""A triangular matrix of its own for each row: the full covariance of a conditional Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Transform, full_precision, sum_event
from ..words import check_counts
from .amortized import Amortized


class RowTriangular(Transform):
    r"""``z = L(h) x`` with ``L_ii = exp(bound tanh(h_ii / bound))``, lower triangular; ``ldj = sum_i log L_ii``.

    Its inverse, behind a normal base, is a Gaussian posterior of full covariance ``L L^T``. The identity where the net gives zeros.

    Shapes: vectors ``(B, D)``. Cost: ``D (D + 1) / 2`` numbers and multiplications per row; the inverse is a triangular solve. Exact.

    Reference: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770, section 2.3 (what it compares with).

    Arguments:
        dim: the number of features D.
        net: from the context to ``D (D + 1) / 2`` numbers for each row, which are added to constants.
        bound: of the logarithms on the diagonal.

    Raises:
        ValueError: x of another shape; with a net, a context that is missing or does not fit.

    Example::

        >>> z, ldj = RowTriangular(3, nn.Linear(4, 6))(torch.randn(8, 3), torch.randn(8, 4))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, net: nn.Module | None = None, bound: float = 5.0):
        super().__init__()
        check_counts("RowTriangular", dim=dim)
        if not bound > 0:
            raise ValueError(f"RowTriangular: bound must be positive, got {bound}")
        self.dim, self.bound = dim, bound
        self.h = Amortized("RowTriangular", dim, torch.zeros(dim * (dim + 1) // 2), net)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._there(x, self.h(x, context).to(x.dtype))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._back(z, self.h(z, context).to(z.dtype))

    @full_precision
    def _there(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        matrix, log_diagonal = self._unpack(h)
        return (matrix @ x.unsqueeze(2)).squeeze(2), sum_event(log_diagonal.expand_as(x))

    @full_precision
    def _back(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        matrix, log_diagonal = self._unpack(h)
        x = torch.linalg.solve_triangular(matrix.expand(len(z), -1, -1), z.unsqueeze(2), upper=False)
        return x.squeeze(2), -sum_event(log_diagonal.expand_as(z))

    def _unpack(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """L, ``(1 or B, D, D)``, and the logarithms of its diagonal, ``(1 or B, D)``."""
        log_diagonal = self.bound * torch.tanh(h[:, : self.dim] / self.bound)
        below = torch.tril_indices(self.dim, self.dim, -1, device=h.device)
        flat = h.new_zeros(len(h), self.dim * self.dim).index_copy(1, below[0] * self.dim + below[1], h[:, self.dim :])
        return flat.unflatten(1, (self.dim, self.dim)) + torch.diag_embed(log_diagonal.exp()), log_diagonal

    def extra_repr(self) -> str:
        return f"{self.dim}, bound={self.bound}"
