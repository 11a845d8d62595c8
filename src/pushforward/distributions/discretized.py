"""Probabilities of whole numbers as differences of a distribution function."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from ..core import Distribution, sum_event

FLAT = 50.0  # widths of a bin, in scales, beyond which nothing of a logistic is outside of it in floats


class DiscretizedLogisticMixture(Distribution):
    r"""``P(x) = sum_k pi_k [F((e(x + 1) - mu_k) / s_k) - F((e(x) - mu_k) / s_k)]`` for each whole number x in 0..levels-1.

    F is the logistic distribution function, ``e(x) = 2 x / levels - 1`` the lower edge of the bin of x, so that the levels cover
    (-1, 1). Level 0 takes all mass below and level ``levels - 1`` all mass above: the probabilities sum to 1 for any parameters. The
    numbers of an event are independent given the parameters; ``log_prob`` is the sum of theirs. Elsewhere it is ``-inf``.

    The difference is taken as ``F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))``, which is exact and has finite logarithms and gradients
    however far the bin is from the component and however narrow or wide that is.

    ``h`` is ``(B or 1, 3 components, C, *rest)``: logits of the weights, means, log-scales within ``+-bound``. It is a free parameter,
    or what a net reads from the context. At zero the means are spread over the levels, with scales to match.

    Kind of likelihood: exact, of whole numbers. Cost: O(components) per number. Draws choose a component, draw from it and take the
    floor; they are whole numbers and carry no gradient, their log probability does.

    Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications, Salimans,
    Karpathy, Chen, Kingma, 2017, arXiv:1701.05517, section 2.1. Departures: levels at the centres of ``levels`` equal bins (there
    ``2 x / (levels - 1) - 1``, so that the outer two are half as wide), no fallback to the density at the middle of a bin, which
    the product makes needless, and no dependence between the channels of a pixel.

    Arguments:
        shape: the event's shape ``(C, *rest)``.
        levels: how many whole numbers, from 0 on.
        components: how many logistics.
        net: from a context ``(B, *context)`` to ``(B, 3 components C, *rest)``, as ``Coupling`` has it; free parameters if none.
        context: the shape of one context, an int for a vector.
        bound: of the log-scales; in units of half the range of the levels.

    Raises:
        ValueError: fewer than one level or component, a bound not in (0, 30], a net without a context or the reverse, or a net whose
            output has another shape.

    Example::

        >>> pixels = DiscretizedLogisticMixture((3, 8, 8), net=nn.Conv2d(16, 45, 1), context=(16, 8, 8))
        >>> pixels.log_prob(torch.zeros(4, 3, 8, 8), torch.randn(4, 16, 8, 8)).shape
        torch.Size([4])
    """

    start: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int = 256,
        components: int = 5,
        net: nn.Module | None = None,
        context: int | Sequence[int] | None = None,
        bound: float = 7.0,
    ):
        super().__init__(shape, context)
        if levels < 1 or components < 1:
            raise ValueError(f"DiscretizedLogisticMixture: expected at least 1 level and 1 component, got {levels} and {components}")
        if not 0 < bound <= 30:
            raise ValueError(f"DiscretizedLogisticMixture: bound must be in (0, 30], got {bound}")
        if (net is None) != (self.context_shape is None):
            raise ValueError("DiscretizedLogisticMixture: a net reads a context; give both or neither")
        self.levels = levels
        self.components = components
        self.bound = bound
        self.net = net
        self.h: nn.Parameter | None = nn.Parameter(torch.zeros(1, 3 * components, *self.shape)) if net is None else None
        means = [(2 * k + 1) / components - 1 for k in range(components)]
        scale = bound * math.atanh(-min(0.9, math.log(3 * components) / bound))
        numbers = [0.0] * components + means + [scale] * components
        self.register_buffer("start", torch.tensor(numbers).reshape(1, -1, *(1 for _ in self.shape)), persistent=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.integer_interval(0, self.levels - 1), len(self.shape))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return self._log_prob(x, *self._parts(x.shape[0], context))

    @torch.no_grad()
    def probabilities(self, context: Tensor | None = None) -> Tensor:
        """Of all levels, for each number of the event: ``(B or 1, levels, *shape)``; ``context`` is embedded, as in ``log_prob``."""
        weights, means, scales = self._parts(1 if context is None else context.shape[0], context)
        return torch.stack(
            [self._masses(means.new_full(means[:, 0].shape, k), weights, means, scales) for k in range(self.levels)], 1
        ).exp()

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        parts = self._parts(rows, context)
        with torch.no_grad():
            weights, means, scales = (part.expand(rows, *part.shape[1:]) for part in parts)
            tiny = torch.finfo(weights.dtype).tiny
            race = torch.empty_like(weights).exponential_().clamp_min(tiny).log()
            chosen = (weights - race).argmax(1, keepdim=True)
            mean, scale = means.gather(1, chosen).squeeze(1), scales.gather(1, chosen).squeeze(1)
            u = torch.rand_like(mean).clamp_min(tiny)
            y = mean + scale.exp() * (u.log() - torch.log1p(-u))
            x = ((y + 1) * (self.levels / 2)).floor().clamp(0, self.levels - 1)
        return x, self._log_prob(x, *parts)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, components={self.components}"

    def _parts(self, rows: int, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales, each (B or 1, K, *shape), in float32 or better."""
        h: Tensor
        if self.h is not None:
            h = self.h
        else:
            if context is None or self.net is None:
                raise ValueError("DiscretizedLogisticMixture: needs a context, got none; give one row per draw")
            h = self.net(context)
            expected = (rows, 3 * self.components * self.shape[0], *self.shape[1:])
            if h.shape != expected:
                raise ValueError(f"DiscretizedLogisticMixture: expected a net that gives {expected}, got {tuple(h.shape)}")
            h = h.reshape(rows, -1, *self.shape)
        h = h.to(torch.promote_types(h.dtype, torch.float32))
        logits, means, scales = (h + self.start.to(h.dtype)).unflatten(1, (3, self.components)).unbind(1)
        return logits.log_softmax(1), means, self.bound * torch.tanh(scales / self.bound)

    def _log_prob(self, x: Tensor, weights: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        inside = ((x >= 0) & (x <= self.levels - 1) & (x == x.floor())).flatten(1).all(1)
        x = x.nan_to_num().clamp(0, self.levels - 1).floor()
        return torch.where(inside, sum_event(self._masses(x, weights, means, scales)), -torch.inf)

    def _masses(self, x: Tensor, weights: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        """log P of each number, ``(B, *shape)``, of which x holds a level."""
        x = x.unsqueeze(1).to(means.dtype)
        per = (-scales).exp()
        below = (2 * x / self.levels - 1 - means) * per
        above = (2 * (x + 1) / self.levels - 1 - means) * per
        width = (2 / self.levels * per).clamp_max(FLAT)
        first, last = x == 0, x == self.levels - 1
        nothing = torch.zeros_like(below)
        mass = torch.where(last, nothing, F.logsigmoid(above)) + torch.where(first, nothing, F.logsigmoid(-below))
        mass = mass + torch.where(first | last, nothing, torch.log(-torch.expm1(-width)))
        return (weights + mass).logsumexp(1)
