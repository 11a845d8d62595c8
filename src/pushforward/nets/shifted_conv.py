"""Convolutions that look up and to the left because they are shifted, and gated blocks of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import DataDependent
from .gated import both_sides
from .ways import WHOLE, Way


class ShiftedConv(DataDependent):
    r"""A convolution whose lower right end is its own site: ``(B, inputs, H, W) -> (B, outputs, H, W)``; padding does it, not a mask.

    A kernel of sides (2, 2) reads its own site, those above and to the left, one of (2, 3) its own row and that above, on both sides;
    ``down`` and ``right`` move it further away, so that it reads rows above or sites to the left only. (1, 1) is a linear map of a site.

    Weights are ``length v / |v|`` for each output. The start from data gives each output mean 0 and standard deviation ``gain``.

    References: PixelCNN++, Salimans, Karpathy, Chen, Kingma, 2017, arXiv:1701.05517, section 2.3 and its code; Weight Normalization,
    Salimans, Kingma, 2016, arXiv:1602.07868, section 3.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        down: int = 0,
        right: int = 0,
        gain: float = 1.0,
    ):
        super().__init__()
        height, width = kernel
        self.kernel, self.stride, self.gain = kernel, stride, gain
        self.pads = (width // 2 + right, (width - 1) // 2 - right, height - 1 + down, -down)  # left, right, above, below
        self.direction = nn.Parameter(torch.randn(outputs, inputs, height, width))
        self.length = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """``(outputs, inputs, height, width)``."""
        return F.normalize(self.direction.flatten(1)).view_as(self.direction) * self.length

    def forward(self, x: Tensor, way: Way = WHOLE) -> Tensor:
        return way.conv(self, x)

    @torch.no_grad()
    def initialize(self, x: Tensor, way: Way = WHOLE) -> None:  # type: ignore[override]
        """What leaves of x gets mean 0 and standard deviation ``gain`` in each channel that is not constant."""
        nn.init.ones_(self.length)
        nn.init.zeros_(self.bias)
        std, mean = torch.std_mean(self(x, way).transpose(0, 1).flatten(1), 1, correction=0)
        scale = self.gain / torch.where(std > 1e-6 * mean.abs().clamp_min(1e-6), std, torch.ones_like(std))
        self.length.copy_(scale.view_as(self.length))
        self.bias.copy_(-mean * scale)

    def extra_repr(self) -> str:
        outputs, inputs, *_ = self.direction.shape
        return f"{inputs}, {outputs}, kernel={self.kernel}, stride={self.stride}"


class ShiftedBlock(nn.Module):
    r"""``h + a sigmoid(b)``, ``[a, b] = W_2 * e(W_1 * e(h) + V e(others)) + U given`` with ``e(h) = elu([h, -h])``.

    Others are ``reads`` channels at the same site: of another stream, of attention, or from before in a shortcut.
    """

    def __init__(self, width: int, kernel: tuple[int, int], *, reads: int = 0, dropout: float = 0.0, context: int = 0):
        super().__init__()
        self.first = ShiftedConv(2 * width, width, kernel)
        self.others = ShiftedConv(2 * reads, width) if reads else None
        self.dropout = nn.Dropout(dropout)
        self.second = ShiftedConv(2 * width, 2 * width, kernel, gain=0.1)
        self.given = ShiftedConv(context, 2 * width, gain=0.1) if context else None

    def forward(self, h: Tensor, *others: Tensor, given: Tensor | None = None, way: Way = WHOLE) -> Tensor:
        u = self.first(both_sides(h), way)
        if self.others is not None:
            u = u + self.others(both_sides(torch.cat(others, 1)), way)
        u = self.second(self.dropout(both_sides(u)), way)
        if self.given is not None:
            u = u + self.given(given, way)
        return h + F.glu(u, 1)
