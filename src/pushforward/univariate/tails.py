"""A map that grows too fast, made safe: bounded parameters, straight tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Univariate
from .bisection import wide


class LinearTails(Univariate):
    r"""A map f taken from [-1, 1] to ``[-bound, bound]``, with its tangents beyond and parameters within ``+-limit``.

    ``z = bound (f(y) + f'(y) (x / bound - y))`` with y the nearest of [-1, 1] to ``x / bound``, and ``limit tanh(h / limit)`` for h.
    The slope stays continuous.

    Stacked polynomials of degree 5 overflow float32 from the third on at 20 standard deviations, and one step of training on
    such a row gives a net that reads it coefficients to overflow any: here a layer only scales an outlier, by no more than its
    parameters' limit allows.

    ``h`` and ``params`` are those of f; ``identity`` too, before the bound. Both directions cost as much as f's own (the inverse two
    evaluations more) and are as exact.

    Arguments:
        univariate: the map f, of the line onto the line.
        bound: the half-width of the interval: standardize first.
        limit: of the parameters' size; greater than f's own for the identity.

    Raises:
        ValueError: a bound that is not positive and finite, or a limit that the identity does not fit.

    Example::

        >>> tame = LinearTails(SumOfSquares(), bound=4.0)
        >>> z, slope = tame.forward(torch.randn(32, 3), torch.randn(32, tame.params, 3))
        >>> z.shape, slope.shape
        (torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, univariate: Univariate, bound: float = 4.0, limit: float = 2.0):
        if not 0 < bound < math.inf:
            raise ValueError(f"LinearTails: bound must be positive and finite, got {bound}")
        greatest = max(map(abs, univariate.identity), default=0.0)
        if not greatest < limit < math.inf:
            raise ValueError(
                f"LinearTails: limit must be finite and above {greatest:.3g}, that of {univariate!r} for the identity, got {limit}"
            )
        self.univariate = univariate
        self.bound = bound
        self.limit = limit
        self.params = univariate.params
        self.identity = tuple(limit * math.atanh(value / limit) for value in univariate.identity)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x) / self.bound
        nearest = y.clamp(-1, 1)
        z, slope = self.univariate.forward(nearest, self._limited(h, y))
        return (self.bound * (z + slope.exp() * (y - nearest))).to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z) / self.bound
        h = self._limited(h, y)
        end = torch.ones_like(y)
        low, high = self.univariate.forward(-end, h)[0], self.univariate.forward(end, h)[0]
        inside = torch.minimum(torch.maximum(y, low), high)
        x, slope = self.univariate.inverse(inside, h)
        return (self.bound * (x + slope.exp() * (y - inside))).to(z.dtype), slope

    def _limited(self, h: Tensor, like: Tensor) -> Tensor:
        return self.limit * torch.tanh(h.to(like.dtype) / self.limit)
