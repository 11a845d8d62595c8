"""Per-channel scale and shift that starts by standardizing one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..core import zeros
from ..words import check_counts
from .checks import expect_channels
from .whole import Stage, Staged, linear_stage


class ActNorm(Staged):
    r"""Scale and shift each channel, ``z = exp(s) x + b``; ``ldj = positions * sum(s)``.

    Shapes: ``(B, C, *space)``; one ``s`` and one ``b`` per channel, whatever the space. Cost O(1) beside the map itself.

    The identity until :meth:`initialize` is called with a batch; from then on that batch leaves with mean 0 and standard
    deviation 1 in each channel. The start is never implicit, so evaluation can't change a model. A channel that is
    constant in the batch is centred but not scaled.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma, Dhariwal, 2018, arXiv:1807.03039.

    Arguments:
        channels: the size of axis 1.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> layer = ActNorm(3)
        >>> layer.initialize(torch.randn(64, 3, 8, 8))
        >>> z, ldj = layer(torch.randn(2, 3, 8, 8))
        >>> z.shape, ldj.shape
        (torch.Size([2, 3, 8, 8]), torch.Size([2]))
    """

    def __init__(self, channels: int):
        super().__init__()
        check_counts("ActNorm", channels=channels)
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(x, self.log_scale, self.shift)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._like(z, self.log_scale, self.shift)
        ldj = zeros(z)
        return (z - shift) * (-log_scale).exp(), ldj - math.prod(z.shape[2:]) * log_scale.sum(dtype=ldj.dtype)

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        plain = (lambda z, *_: self.inverse(z)) if inverse else self._mapped
        return linear_stage(plain, [self.log_scale, self.shift])

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, inverse: bool = False) -> None:
        """Set scale and shift so that what leaves (``inverse``: the inverse) is x standardized, channel by channel."""
        expect_channels("ActNorm", self.shift.numel(), x)
        channels = x.transpose(0, 1).flatten(1)  # (C, B * positions)
        mean, std = channels.mean(1), channels.std(1, correction=0)
        std = torch.where(std > 1e-6 * mean.abs().clamp_min(1e-6), std, torch.ones_like(std))
        self.log_scale.copy_(std.log() if inverse else -std.log())
        self.shift.copy_(mean if inverse else -mean / std)

    def extra_repr(self) -> str:
        return str(self.shift.numel())

    def _mapped(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._like(x, log_scale, shift)
        ldj = zeros(x)
        return x * log_scale.exp() + shift, ldj + math.prod(x.shape[2:]) * log_scale.sum(dtype=ldj.dtype)

    def _like(self, x: Tensor, *numbers: Tensor) -> Iterator[Tensor]:
        expect_channels("ActNorm", self.shift.numel(), x)
        return (t.reshape(-1, *(1 for _ in x.shape[2:])) for t in numbers)
