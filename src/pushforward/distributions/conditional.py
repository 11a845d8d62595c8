"""A normal whose mean and scale a net reads from the context."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Distribution, sum_event


class ConditionalNormal(Distribution):
    r"""``p(x|c) = prod N(x_i; m_i(c), exp(2 s_i(c)))``: a conditional base, an encoder, a decoder.

    The net gives mean and raw log-scale r on axis 1; ``s = bound tanh(r / bound)``. Draws are reparameterised.

    Arguments:
        shape: the event's shape ``(C, *rest)``.
        net: from a context ``(B, *context)`` to ``(B, 2 C, *rest)``, means first.
        context: the shape of one context, an int for a vector.
        bound: the log-scale stays within ``+-bound``: one free to shrink overfits to infinite likelihood.

    Raises:
        ValueError: no context, a bound that is not positive, or a net whose output has another shape.

    Example::

        >>> decoder = ConditionalNormal((3,), nn.Linear(5, 6), context=5)
        >>> decoder.log_prob(torch.randn(8, 3), torch.randn(8, 5)).shape, decoder.sample((2,), torch.randn(8, 5)).shape
        (torch.Size([8]), torch.Size([2, 8, 3]))
    """

    def __init__(self, shape: Sequence[int], net: nn.Module, context: int | Sequence[int], bound: float = 5.0):
        super().__init__(shape, context)
        if self.context_shape is None:
            raise ValueError("ConditionalNormal: expected the shape of one context, got none; Normal needs no context")
        if not bound > 0:
            raise ValueError(f"ConditionalNormal: bound must be positive, got {bound}")
        self.net = net
        self.bound = bound

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        mean, s = self._mean_and_scale(context)
        return self._density((x - mean) * (-s).exp(), s)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, s = self._mean_and_scale(context)
        noise = torch.randn_like(mean)
        return mean + noise * s.exp(), self._density(noise, s)

    def _density(self, white: Tensor, s: Tensor) -> Tensor:
        return sum_event(-0.5 * white.square() - s) - 0.5 * math.log(2 * math.pi) * math.prod(self.shape)

    def _mean_and_scale(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if context is None:
            raise ValueError("ConditionalNormal: needs a context, got none; give one row per draw")
        h = self.net(context)
        expected = (context.shape[0], 2 * self.shape[0], *self.shape[1:])
        if h.shape != expected:
            raise ValueError(f"ConditionalNormal: expected a net that gives {expected}, got {tuple(h.shape)}; means first, on axis 1")
        mean, s = h.chunk(2, 1)
        return mean, s if self.bound == math.inf else self.bound * torch.tanh(s / self.bound)
