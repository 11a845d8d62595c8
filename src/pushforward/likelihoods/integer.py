"""Probabilities of all whole numbers, as differences of a distribution function."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from ..words import check_counts
from .base import Likelihood, bounded, check_bound, race
from .discretized import FLAT

HALVINGS = 64  # of a bracket of whole numbers: more than any float64 has digits


class Integers(constraints.Constraint):
    """The whole numbers, of either sign."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite() & (value == value.floor())


class IntegerLogisticMixture(Likelihood):
    r"""``P(x) = sum_k pi_k [F((x + 1/2 - m_k) / s_k) - F((x - 1/2 - m_k) / s_k)]`` for each whole number x, of either sign.

    F is the logistic distribution function. No number is the first or the last: the probabilities of all whole numbers sum to 1, as an
    integer flow needs, whose latents may lie anywhere. Parameters are in units of the data, ``m = (levels - 1) / 2 + levels mu / 2`` and
    ``log s = log(levels / 2) + bound tanh(h / bound)``, so that the levels 0..levels-1 lie within ``mu`` in (-1, 1).

    The difference is taken as ``F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))``, which has finite logarithms and gradients however far x is
    from a component. ``cdf`` is that at the half above x, ``P(X <= x)``: what a coder makes its table of.

    ``h`` is ``(B or 1, 3 components, C, *rest)``: logits of the weights, mu, log-scales. The start spreads the means over the levels,
    with scales to match; of three or more components the first and the last stand at the ends, a quarter of a level wide.
    Kind of likelihood: exact, of whole numbers. Cost: O(components) per number; ``quantile`` takes 64 times that.

    References: Integer Discrete Flows and Lossless Compression, Hoogeboom, Peters, van den Berg, Welling, 2019, arXiv:1905.07376;
    PixelCNN++, Salimans, Karpathy, Chen, Kingma, 2017, arXiv:1701.05517.

    Arguments:
        levels: how many whole numbers the data have, which sets the units.
        components: how many logistics.
        bound: of the log-scales, in units of half the range of the levels.

    Raises:
        ValueError: fewer than one level or component, or a bound not in (0, 30].

    Example::

        >>> latents = IntegerLogisticMixture(256, components=3)
        >>> h = torch.randn(4, latents.params, 2, 8, 8)
        >>> latents.log_prob(torch.full((4, 2, 8, 8), -7.0), h).shape, latents.draw(h).shape
        (torch.Size([4, 2, 8, 8]), torch.Size([4, 2, 8, 8]))
    """

    support = Integers()

    def __init__(self, levels: int = 256, components: int = 5, bound: float = 7.0):
        check_counts("IntegerLogisticMixture", levels=levels, components=components)
        check_bound("IntegerLogisticMixture", bound)
        self.levels, self.components, self.bound = levels, components, bound
        self.params = 3 * components
        ends = components > 2
        wide = components - 2 * ends
        means = [(2 * k + 1) / wide - 1 for k in range(wide)]
        scales = [-min(0.9 * bound, math.log(3 * wide))] * wide
        if ends:  # drawings are black or white in most places, and it takes long to become sure of it
            means = [1 / levels - 1, *means, 1 - 1 / levels]
            narrow = -min(0.9 * bound, math.log(2 * levels))
            scales = [narrow, *scales, narrow]
        self.start = (*[0.0] * components, *means, *(bound * math.atanh(scale / bound) for scale in scales))

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        weights, means, per = self._parts(h)
        inside = self.support.check(x)
        at = torch.where(inside, x, 0.0).unsqueeze(1)
        below, above = (at - 0.5 - means) * per, (at + 0.5 - means) * per
        masses = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-per.clamp_max(FLAT)))
        return torch.where(inside, (weights + masses).logsumexp(1), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        with torch.no_grad():
            weights, means, per = self._parts(h)
            chosen = race(weights)
            u = torch.rand_like(h[:, 0]).clamp_min(torch.finfo(h.dtype).tiny)
            noise = (u.log() - torch.log1p(-u)) / per.gather(1, chosen).squeeze(1)
            return (means.gather(1, chosen).squeeze(1) + noise).round()

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        weights, means, per = self._parts(h)
        return (weights + F.logsigmoid((x.floor().unsqueeze(1) + 0.5 - means) * per)).logsumexp(1).exp().clamp_max(1.0)

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        with torch.no_grad():
            _, means, per = self._parts(h)
            each = means + (u.log() - torch.log1p(-u)).unsqueeze(1) / per  # the mixture's lies between those of its components
            low, high = each.amin(1).floor() - 1, each.amax(1).ceil() + 1
            for _ in range(HALVINGS):
                middle = ((low + high) / 2).floor()
                enough = self.cdf(middle, h) >= u
                low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
            return high

    def scaled(self, x: Tensor) -> Tensor:
        return (2 * x + 1) / self.levels - 1

    def unscaled(self, y: Tensor) -> Tensor:
        return ((y + 1) * (self.levels / 2)).floor()

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and inverse scales of the components in units of the data, each ``(B or 1, K, C, *rest)``."""
        logits, means, scales = h.unflatten(1, (3, self.components)).unbind(1)
        half = self.levels / 2
        return logits.log_softmax(1), half * (means + 1) - 0.5, (-bounded(scales, self.bound)).exp() / half
