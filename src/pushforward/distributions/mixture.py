"""A mixture of Gaussians with free weights, means and covariances."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Distribution, full_precision, set_aside_infinite


class GaussianMixture(Distribution):
    r"""``p(x) = sum_k pi_k N(x; mu_k, Sigma_k)`` with learned parameters; ``Sigma_k^-1 = P_k P_k^T``, P_k lower triangular.

    The Cholesky factor of the precision is the parameter, since a density then takes a product and no solve.
    Its diagonal stays below ``1 / floor``: a component free to shrink onto one row has infinite likelihood.

    Cost: O(K D^2) per row. Draws are reparameterised within a component; the choice of the component carries no gradient.
    Means start at random; :meth:`initialize` places the components in data.

    Reference: k-means++: The Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007 (the start).

    Arguments:
        shape: the event's shape; the covariance is over all its D numbers.
        components: K.
        floor: the least standard deviation of a number given the ones after it.

    Raises:
        ValueError: fewer than one component, or a floor that is not positive.

    Example::

        >>> mixture = GaussianMixture((2,), 3)
        >>> mixture.log_prob(torch.randn(8, 2)).shape
        torch.Size([8])
    """

    def __init__(self, shape: Sequence[int], components: int, floor: float = 1e-3):
        super().__init__(shape)
        if components < 1:
            raise ValueError(f"GaussianMixture: expected at least one component, got {components}")
        if not floor > 0:
            raise ValueError(f"GaussianMixture: floor must be positive, got {floor}")
        dim = math.prod(self.shape)
        self.floor = floor
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, dim))
        self.precision = nn.Parameter(torch.zeros(components, dim, dim))  # below the diagonal P, on it log P_ii

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        x, infinite = set_aside_infinite(x)
        return self._joint(x.flatten(1)).logsumexp(1).masked_fill(infinite, -torch.inf)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k = torch.multinomial(self.logits.detach().softmax(0), rows, replacement=True) if rows else self.logits.new_zeros(0).long()
        noise = torch.randn(rows, self.mean.shape[1], dtype=self.mean.dtype, device=self.mean.device)
        factor = self._factor()[0].index_select(0, k)  # x - mu = P^-T noise
        x = torch.linalg.solve_triangular(factor.mT, noise.unsqueeze(2), upper=True).squeeze(2) + self.mean.index_select(0, k)
        return x.reshape(rows, *self.shape), self._joint(x).logsumexp(1)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Means by k-means++ and a few rounds of k-means, weights and covariances from the clusters found; the same on every process."""
        rows = x.flatten(1).to(self.mean.dtype)
        count, dim = self.mean.shape
        mean = _seeds(rows, count)
        for _ in range(10):
            near = F.one_hot(torch.cdist(rows, mean).argmin(1), count).to(rows.dtype)  # (B, K)
            size = near.sum(0).unsqueeze(1)
            mean = torch.where(size > 0, near.T @ rows / size.clamp(min=1), mean)
        spread = (rows - near @ mean).unsqueeze(0) * near.T.unsqueeze(2)  # (K, B, D)
        scatter = spread.mT @ spread
        # each covariance is drawn towards the mean one with the weight of D + 1 rows, so that small clusters have one too
        pooled = scatter.sum(0) / rows.shape[0]
        ridge = (self.floor**2 + 1e-6 * pooled.diagonal().mean()) * torch.eye(dim, dtype=rows.dtype, device=rows.device)
        covariance = (scatter + (dim + 1) * pooled) / (size.unsqueeze(2) + dim + 1) + ridge
        factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(covariance)))
        diagonal = factor.diagonal(dim1=1, dim2=2).log().clamp(max=-math.log(self.floor) - 0.1)
        diagonal = -math.log(self.floor) - torch.log(torch.expm1(-math.log(self.floor) - diagonal))  # undo the cap of _factor
        self.logits.copy_(((size.squeeze(1) + 1) / (rows.shape[0] + count)).log())
        self.mean.copy_(mean)
        self.precision.copy_(factor.tril(-1) + diagonal.diag_embed())

    @full_precision
    def _joint(self, x: Tensor) -> Tensor:
        """log pi_k N(x; mu_k, Sigma_k), ``(B, D) -> (B, K)``."""
        factor, log_det = self._factor()
        white = torch.einsum("bkd,kde->bke", x.unsqueeze(1) - self.mean, factor)
        return self.logits.log_softmax(0) + log_det - 0.5 * white.square().sum(2) - 0.5 * x.shape[1] * math.log(2 * math.pi)

    def _factor(self) -> tuple[Tensor, Tensor]:
        """P ``(K, D, D)`` and its log determinant ``(K,)``."""
        cap = -math.log(self.floor)
        diagonal = cap - F.softplus(cap - self.precision.diagonal(dim1=1, dim2=2))
        return self.precision.tril(-1) + diagonal.exp().diag_embed(), diagonal.sum(1)


def _seeds(rows: Tensor, count: int) -> Tensor:
    """Rows far from each other, each picked with a chance that grows as its squared distance from those already picked."""
    generator = torch.Generator().manual_seed(0)
    picked = [rows[0]]
    distance = (rows - picked[0]).square().sum(1)
    for _ in range(count - 1):
        # by place on the cumulative sum: one number decides, whatever the device
        total = distance.double().cumsum(0)
        place = torch.rand((), generator=generator, dtype=torch.float64).to(total.device) * total[-1]
        picked.append(rows[torch.searchsorted(total, place).clamp(max=rows.shape[0] - 1)])
        distance = torch.minimum(distance, (rows - picked[-1]).square().sum(1))
    return torch.stack(picked)
