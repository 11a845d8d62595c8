"""The standard normal base."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import Distribution, sum_event


class Normal(Distribution):
    """Independent standard normals, ``log p(x) = -|x|^2/2 - D/2 log(2 pi)``.

    Example::

        >>> Normal((3,)).log_prob(torch.zeros(8, 3)).shape
        torch.Size([8])
    """

    like: Tensor

    def __init__(self, shape: Sequence[int]):
        super().__init__(shape)
        self.register_buffer("like", torch.empty(0), persistent=False)  # carries dtype and device

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return sum_event(-0.5 * x.square()) - 0.5 * math.log(2 * math.pi) * math.prod(self.shape)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.randn(rows, *self.shape, dtype=self.like.dtype, device=self.like.device)
        return x, self.log_prob(x)

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        return self.like.new_zeros(rows, *self.shape)

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.special.ndtr(x)

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        return torch.special.ndtri(q)
