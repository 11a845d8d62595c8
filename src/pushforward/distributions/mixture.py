"""A mixture of Gaussians with free weights, means and covariances."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Distribution, full_precision, set_aside_infinite, start_rows

ROUNDS = 100  # of EM


class GaussianMixture(Distribution):
    r"""``p(x) = sum_k pi_k N(x; mu_k, Sigma_k)`` with learned parameters; ``Sigma_k^-1 = P_k P_k^T``, P_k lower triangular.

    The Cholesky factor of the precision is the parameter, since a density then takes a product and no solve.
    Its diagonal stays below ``1 / floor``: a component free to shrink onto one row has infinite likelihood.

    Cost: O(K D^2) per row. Draws are reparameterised within a component; the choice of the component carries no gradient.
    Means start at random; :meth:`initialize` fits all of it to data by EM.

    Reference: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird, Rubin, 1977 (the start); k-means++: The
    Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007 (where EM begins).

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
        self.starting_rows = start_rows(dim)

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
        """The maximum that scikit-learn's EM finds from a start by k-means++, in float64; the same on every process."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Mixture

        rows, count = x.detach().flatten(1).double().cpu().numpy(), len(self.logits)
        rows = np.tile(rows, (-(-count // len(rows)), 1))  # EM asks for as many as components
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # rounds are limited, and equal rows make equal components
            found = Mixture(count, reg_covar=self.floor**2, init_params="k-means++", max_iter=ROUNDS, random_state=0).fit(rows)
        inverse = torch.from_numpy(found.precisions_cholesky_)  # upper triangular
        factor = torch.linalg.cholesky(inverse @ inverse.mT)
        cap = -math.log(self.floor)
        diagonal = factor.diagonal(dim1=1, dim2=2).log().clamp(max=cap - 0.1)
        diagonal = cap - torch.log(torch.expm1(cap - diagonal))  # undo the cap of _factor
        self.logits.copy_(torch.from_numpy(found.weights_).clamp(min=1e-300).log())
        self.mean.copy_(torch.from_numpy(found.means_))
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
