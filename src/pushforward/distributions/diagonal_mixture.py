"""A mixture of Gaussians without correlations within: a learned prior of many numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Distribution, full_precision, set_aside_infinite
from ..words import check_counts

TOWARDS = 0.5  # how far the means stand out at the start, in standard deviations of the whole
WITHIN = math.sqrt(1 - TOWARDS**2)  # the components' own standard deviation then


class DiagonalMixture(Distribution):
    r"""``p(x) = sum_k pi_k prod_i N(x_i; mu_ki, s_ki^2)`` with learned weights, means and scales, ``s = floor + softplus``.

    The learned mixture as the prior of a VAE, where :class:`GaussianMixture` has ``K D^2`` numbers. It starts where no data of x exist yet:
    means drawn from N(0, 1/4), scales so that the whole has mean 0 and variance 1. :meth:`initialize` gives it the mean and the scales of a
    batch, with the means on its rows, drawn towards the middle by half; not the maximum of their likelihood, as what a prior sees at first
    is an untrained encoder's noise.

    Cost: O(K D) per row. Draws are reparameterised within a component; the choice of the component carries no gradient.

    Reference: VAE with a VampPrior, Tomczak, Welling, 2017, arXiv:1705.07120, section 4.2 (the mixture it is compared with).

    Arguments:
        shape: the event's shape.
        components: K.
        floor: the least standard deviation: a component free to shrink onto one row has infinite likelihood.

    Raises:
        ValueError: fewer than one component, or a floor that is not positive.

    Example::

        >>> prior = DiagonalMixture((40,), 100)
        >>> prior.log_prob(torch.randn(8, 40)).shape
        torch.Size([8])
    """

    def __init__(self, shape: Sequence[int], components: int, floor: float = 1e-3):
        super().__init__(shape)
        check_counts("DiagonalMixture", components=components)
        if not floor > 0:
            raise ValueError(f"DiagonalMixture: floor must be positive, got {floor}")
        self.floor = floor
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(TOWARDS * torch.randn(components, *self.shape))
        self.scale = nn.Parameter(self._raw(torch.full((components, *self.shape), WITHIN)))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        x, infinite = set_aside_infinite(x)
        return self._mixed(x).masked_fill(infinite, -torch.inf)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k = torch.multinomial(self.logits.detach().softmax(0), rows, replacement=True) if rows else self.logits.new_zeros(0).long()
        mean = self.mean.index_select(0, k)
        x = mean + torch.randn_like(mean) * self.scales().index_select(0, k)
        return x, self._mixed(x)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Means at rows of the batch, drawn towards their mean, so that the whole has the batch's mean and scales."""
        mean, std = x.mean(0), x.std(0, correction=0).clamp_min(2 * self.floor)
        chosen = torch.randint(len(x), (len(self.mean),), device=x.device)
        self.mean.copy_(mean + TOWARDS * (x.index_select(0, chosen) - mean))
        self.scale.copy_(self._raw((WITHIN * std).expand_as(self.scale)))

    @full_precision
    def _mixed(self, x: Tensor) -> Tensor:
        scales = self.scales()
        white = (x.unsqueeze(1) - self.mean) / scales  # (B, K, *shape)
        terms = -0.5 * white.square().flatten(2).sum(2) - scales.log().flatten(1).sum(1)
        return (terms + self.logits.log_softmax(0)).logsumexp(1) - 0.5 * math.log(2 * math.pi) * math.prod(self.shape)

    def scales(self) -> Tensor:
        """Of the components, ``(K, *shape)``."""
        return self.floor + F.softplus(self.scale)

    def _raw(self, scales: Tensor) -> Tensor:
        """What :meth:`scales` makes these of."""
        y = (scales - self.floor).clamp_min(self.floor)
        return y + torch.log(-torch.expm1(-y))

    def extra_repr(self) -> str:
        return f"{tuple(self.shape)}, components={len(self.logits)}"
