"""The uniform distribution on a box."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints

from ..core import Distribution


class Uniform(Distribution):
    """Independent uniforms, ``log p(x) = -sum log(high - low)`` on the closed box ``[low, high]`` and ``-inf`` outside.

    Arguments:
        shape: the event's shape.
        low, high: the ends, numbers or tensors that broadcast to the shape.

    Raises:
        ValueError: an end is not finite, or low is not below high.

    Example::

        >>> Uniform((3,)).log_prob(torch.rand(8, 3)).shape
        torch.Size([8])
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: Sequence[int], low: float | Tensor = 0.0, high: float | Tensor = 1.0):
        super().__init__(shape)
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.get_default_dtype()).expand(self.shape).clone())
        self.register_buffer("high", torch.as_tensor(high, dtype=torch.get_default_dtype()).expand(self.shape).clone())
        if not self.low.is_meta and not bool((self.high - self.low).isfinite().all() and (self.low < self.high).all()):
            raise ValueError(f"Uniform: expected finite low < high, got low={low} and high={high}")

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.interval(self.low, self.high), len(self.shape))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        low, high = self.low.to(x.dtype), self.high.to(x.dtype)
        inside = ((x >= low) & (x <= high)).flatten(1).all(1)
        return torch.where(inside, -(high - low).log().sum(), -torch.inf)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.low + (self.high - self.low) * torch.rand(rows, *self.shape, dtype=self.low.dtype, device=self.low.device)
        return x, self.log_prob(x)

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        return ((x - self.low) / (self.high - self.low)).clamp(0, 1)

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        return self.low + (self.high - self.low) * q
