"""An event and its context as one row of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Row(nn.Module):
    """``(B, C + K, *rest) -> (B, C * rest + K)``: what ``core.join`` put side by side, with the context once instead of at each place.

    Arguments:
        shape: of the event, ``(C, *rest)``.
        scale, shift: what the event is multiplied by, and what is added.

    Attributes:
        width: numbers of a row without context.

    Example::

        >>> Row((1, 4, 4))(torch.randn(8, 1 + 2, 4, 4)).shape
        torch.Size([8, 18])
    """

    def __init__(self, shape: Sequence[int], scale: float = 1.0, shift: float = 0.0):
        super().__init__()
        self.channels, self.width = shape[0], math.prod(shape)
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        context = x[:, self.channels :].flatten(2)[:, :, 0] if x.dim() > 2 else x[:, self.channels :]
        return torch.cat([x[:, : self.channels].flatten(1) * self.scale + self.shift, context], 1)
