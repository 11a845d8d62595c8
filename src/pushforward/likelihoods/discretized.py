"""Probabilities of whole numbers as differences of a distribution function."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Discrete, bounded, check_bound, race

FLAT = 50.0  # widths of a bin, in scales, beyond which nothing of a logistic is outside of it in floats


class DiscretizedLogisticMixture(Discrete):
    r"""``P(x) = sum_k pi_k [F((e(x + 1) - mu_k) / s_k) - F((e(x) - mu_k) / s_k)]`` for each whole number x in 0..levels-1.

    F is the logistic distribution function, ``e(x) = 2 x / levels - 1`` the lower edge of the bin of x, so that the levels cover
    (-1, 1). Level 0 takes all mass below and level ``levels - 1`` all mass above: the probabilities sum to 1 for any parameters.

    The difference is taken as ``F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))``, which is exact and has finite logarithms and gradients
    however far the bin is from the component and however narrow or wide that is.

    With ``channels = C > 1`` the C numbers at a site (red, green, blue) are one observation: they share the choice of k, and the mean of
    each depends linearly on those before it, ``mu_kc + sum_{b<c} tanh(t_kcb) (2 x_b + 1) / levels - 1``. ``log_prob`` is then of x_c given
    the channels before it, so that the sum over channels is that of the site; ``probabilities`` needs those channels.

    ``h`` is ``(B or 1, params, C, *rest)``: logits of the weights, means, log-scales within ``+-bound``, each ``components`` numbers; with
    ties ``components`` times ``C // 2`` more, whose first C (C - 1) / 2 along both axes are ``t_k10, t_k20, t_k21, ...``, and the logits
    of a site are the sums of those of its channels. The start spreads the means over the levels, with scales to match.

    Kind of likelihood: exact, of whole numbers. Cost: O(components) per number. Draws choose a component, draw from it and take the
    floor, channel by channel.

    Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications, Salimans,
    Karpathy, Chen, Kingma, 2017, arXiv:1701.05517, sections 2.1 and 2.2. Departures: levels at the centres of ``levels`` equal bins (there
    ``2 x / (levels - 1) - 1``, the same but for a factor of means and scales); no fallback to the density at the middle of a bin, which the
    product makes needless; and each drawn channel is a whole number before the next reads it (their sampler never rounds).

    Arguments:
        levels: how many whole numbers, from 0 on.
        components: how many logistics.
        channels: how many numbers at a site are tied, all of them; 1 leaves each number alone.
        bound: of the log-scales; in units of half the range of the levels.

    Raises:
        ValueError: fewer than one level, component or channel, a bound not in (0, 30], or x of another number of channels.

    Example::

        >>> pixels = DiscretizedLogisticMixture(256, components=5, channels=3)
        >>> h = torch.randn(4, pixels.params, 3, 8, 8)
        >>> pixels.params, pixels.log_prob(pixels.draw(h), h).shape
        (20, torch.Size([4, 3, 8, 8]))
    """

    def __init__(self, levels: int = 256, components: int = 5, channels: int = 1, bound: float = 7.0):
        super().__init__(levels)
        if components < 1 or channels < 1:
            raise ValueError(f"DiscretizedLogisticMixture: expected at least 1 component and 1 channel, got {components} and {channels}")
        check_bound("DiscretizedLogisticMixture", bound)
        self.components, self.channels, self.bound = components, channels, bound
        self.params = components * (3 + channels // 2)
        means = [(2 * k + 1) / components - 1 for k in range(components)]
        scale = bound * math.atanh(-min(0.9, math.log(3 * components) / bound))
        self.start = (*[0.0] * components, *means, *[scale] * components, *[0.0] * (components * (channels // 2)))

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        weights, means, scales, ties = self._parts(h)
        level = self._level(x)
        means = self._tied(means, ties, level)
        masses = self._masses(level, means, scales)
        return torch.where(self._inside(x), (self._weights(weights, masses) + masses).logsumexp(1), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        with torch.no_grad():
            weights, means, scales, ties = self._parts(h)
            chosen = race(weights)
            of_each = chosen.expand(-1, -1, *means.shape[2:])
            means, scales = means.gather(1, of_each), scales.gather(1, of_each).squeeze(1)
            u = torch.rand_like(scales).clamp_min(torch.finfo(scales.dtype).tiny)
            noise = scales.exp() * (u.log() - torch.log1p(-u))
            if ties is None:
                return self.unscaled(means.squeeze(1) + noise)
            ties = ties.gather(1, chosen.expand(-1, -1, *ties.shape[2:]))
            x: list[Tensor] = []
            for c in range(self.channels):
                x.append(self.unscaled(self._mean(c, means, ties, x).squeeze(1) + noise[:, c]))
            return torch.stack(x, 1)

    def probabilities(self, h: Tensor, x: Tensor | None = None) -> Tensor:
        """Of all levels, ``(B or 1, levels, C, *rest)``; with ties of each channel given those before it in x, ``(B, C, *rest)``.

        Raises:
            ValueError: ties and no x.
        """
        weights, means, scales = self._given(h, x)
        levels = torch.arange(self.levels, dtype=means.dtype, device=means.device)
        return torch.stack([(weights + self._masses(k.expand_as(means[:, 0]), means, scales)).logsumexp(1) for k in levels], 1).exp()

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        weights, means, scales = self._given(h, x)
        above = (2 * (self._level(x) + 1) / self.levels - 1).unsqueeze(1)
        return self._within(x, (weights + F.logsigmoid((above - means) * (-scales).exp())).logsumexp(1).exp())

    def smoothed(self, x: Tensor, h: Tensor) -> Tensor:
        """Log density at a real x of what a draw is before its floor, with uniform noise of one level around it.

        It is differentiable in x, at whole numbers within the range their log probability, and never above 0; the ends of the range are
        no ends to it. Without ties.
        """
        weights, means, scales = self._given(h, None)
        return (weights + self._masses(x, means, scales, ends=False)).logsumexp(1)

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        if self.channels == 1:
            return super().quantile(u, h)
        x = torch.zeros_like(u)
        for c in range(self.channels):
            found = (self.probabilities(h, x).cumsum(1)[:, :, c] < u[:, c].unsqueeze(1)).sum(1)
            x = torch.cat([x[:, :c], found.clamp(max=self.levels - 1).to(u.dtype).unsqueeze(1), x[:, c + 1 :]], 1)
        return x

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Log-weights ``(B or 1, K, C or 1, *rest)``, means, log-scales ``(B or 1, K, C, *rest)``, ties ``(B or 1, K, pairs, *rest)``."""
        logits, means, scales = h[:, : 3 * self.components].unflatten(1, (3, self.components)).unbind(1)
        scales = bounded(scales, self.bound)
        if self.channels == 1:
            return logits.log_softmax(1), means, scales, None
        if h.shape[2] != self.channels:
            raise ValueError(f"DiscretizedLogisticMixture: expected {self.channels} channels on axis 1 of x, got {h.shape[2]}")
        ties = h[:, 3 * self.components :].unflatten(1, (self.components, -1)).flatten(2, 3).tanh()
        return logits.sum(2, keepdim=True).log_softmax(1), means, scales, ties

    def _given(self, h: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales of each number by itself: of a tied channel given those before it."""
        weights, means, scales, ties = self._parts(h)
        if ties is None:
            return weights, means, scales
        if x is None:
            raise ValueError("DiscretizedLogisticMixture: channels are tied; give x, of which the channels before are read")
        level = self._level(x)
        means = self._tied(means, ties, level)
        return self._weights(weights, self._masses(level, means, scales)), means, scales

    def _tied(self, means: Tensor, ties: Tensor | None, x: Tensor) -> Tensor:
        """The means, moved by the channels before."""
        if ties is None:
            return means
        known = x.unbind(1)
        return torch.stack(torch.broadcast_tensors(*(self._mean(c, means, ties, known) for c in range(self.channels))), 2)

    def _mean(self, c: int, means: Tensor, ties: Tensor, x: Sequence[Tensor]) -> Tensor:
        """Of channel c, ``(B or 1, K, *rest)``."""
        mean = means[:, :, c]
        for before in range(c):
            mean = mean + ties[:, :, c * (c - 1) // 2 + before] * self.scaled(x[before]).unsqueeze(1)
        return mean

    def _weights(self, weights: Tensor, masses: Tensor) -> Tensor:
        """Log-weights given the channels before: a component that explains them well counts for more."""
        if self.channels == 1:
            return weights
        seen = masses[:, :, :-1].cumsum(2)
        return (weights + torch.cat([torch.zeros_like(masses[:, :, :1]), seen], 2)).log_softmax(1)

    def _masses(self, level: Tensor, means: Tensor, scales: Tensor, ends: bool = True) -> Tensor:
        """log P of each level under each component, ``(B, K, C, *rest)``; with ``ends`` the outermost take all that is beyond."""
        x = level.unsqueeze(1).to(means.dtype)
        per = (-scales).exp()
        below = (2 * x / self.levels - 1 - means) * per
        above = (2 * (x + 1) / self.levels - 1 - means) * per
        width = (2 / self.levels * per).clamp_max(FLAT)
        first, last = (x == 0) & ends, (x == self.levels - 1) & ends
        nothing = torch.zeros_like(below)
        mass = torch.where(last, nothing, F.logsigmoid(above)) + torch.where(first, nothing, F.logsigmoid(-below))
        return mass + torch.where(first | last, nothing, torch.log(-torch.expm1(-width)))
