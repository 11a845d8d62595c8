"""A mixture of Gaussians with free weights, means and covariances."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Distribution


class GaussianMixture(Distribution):
    r"""``p(x) = sum_k pi_k N(x; mu_k, Sigma_k)`` with learned parameters; ``Sigma_k^-1 = P_k P_k^T``, P_k lower triangular.

    Cost: O(K D^2) per row. Draws are reparameterised within a component; the choice of the component carries no gradient.

    Arguments:
        shape: the event's shape; the covariance is over all its D numbers.
        components: K.

    Example::

        >>> mixture = GaussianMixture((2,), 3)
        >>> mixture.log_prob(torch.randn(8, 2)).shape
        torch.Size([8])
    """

    def __init__(self, shape: Sequence[int], components: int):
        super().__init__(shape)
        if components < 1:
            raise ValueError(f"GaussianMixture: expected at least one component, got {components}")
        dim = math.prod(self.shape)
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, dim))
        self.precision = nn.Parameter(torch.zeros(components, dim, dim))  # below the diagonal P, on it log P_ii

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return self._joint(x.flatten(1)).logsumexp(1)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k = torch.multinomial(self.logits.detach().softmax(0), rows, replacement=True) if rows else self.logits.new_zeros(0).long()
        noise = torch.randn(rows, self.mean.shape[1], dtype=self.mean.dtype, device=self.mean.device)
        factor = self._factor().index_select(0, k)  # x - mu = P^-T noise
        x = torch.linalg.solve_triangular(factor.mT, noise.unsqueeze(2), upper=True).squeeze(2) + self.mean.index_select(0, k)
        return x.reshape(rows, *self.shape), self._joint(x).logsumexp(1)

    def _joint(self, x: Tensor) -> Tensor:
        """log pi_k N(x; mu_k, Sigma_k), ``(B, D) -> (B, K)``."""
        white = torch.einsum("bkd,kde->bke", x.unsqueeze(1) - self.mean, self._factor())
        log_det = self.precision.diagonal(dim1=1, dim2=2).sum(1)
        return self.logits.log_softmax(0) + log_det - 0.5 * white.square().sum(2) - 0.5 * x.shape[1] * math.log(2 * math.pi)

    def _factor(self) -> Tensor:
        return self.precision.tril(-1) + self.precision.diagonal(dim1=1, dim2=2).exp().diag_embed()
