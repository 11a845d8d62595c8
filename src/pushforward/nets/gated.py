"""Flow++'s net of images: gated convolutions and self-attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .attention import attend
from .conv2d import channels_last, check_image, conv2d, like

WAVES = 6  # frequencies per axis that a place is known by: half a period over the image, then twice as many each


class GatedConvNet(nn.Module):
    r"""Gated residual blocks, each a convolution and then self-attention over space; starts at zero.

    ``(B, inputs, H, W) -> (B, outputs, H, W)``. A convolution of side 3 comes first, another last. Between them ``depth`` blocks of
    ``h = norm(h + a * sigmoid(b))``, ``[a, b] = W_2 e(W_1 e(h))`` with kernels of side 3 and 1 and ``e(h) = elu([h, -h])``, and
    ``h = norm(h + a * sigmoid(b))``, ``[a, b] = W_4 attention(W_3 (h + place))``, where each site reads all sites;
    ``norm`` is over the channels of a site, and ``place`` a learned linear map of sines and cosines of the site's coordinates, so that
    one net serves images of any size. Cost: about ``(27 + 2 H W / width) width^2`` multiplications per site and block.

    With ``dropout`` each pass in training differs: a flow's two directions then disagree until ``eval()``.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, Ho, Chen,
    Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275, section 3.3 and its code. Departures: places are computed from coordinates
    instead of one free vector for each site, and no data-dependent weight normalization.

    Arguments:
        inputs: channels of x, those of a context included.
        outputs: channels that leave.
        width: hidden channels (96 in the paper).
        depth: blocks (10 in the paper).
        heads: parts of the channels that attend separately (4 in the paper); they divide the width.
        attention: whether sites far away are read at all.
        dropout: the fraction of hidden numbers set to zero in training (0.2 in the paper for CIFAR-10).

    Raises:
        ValueError: heads that do not divide the width, a dropout outside of [0, 1), or x is no image of ``inputs`` channels.

    Example::

        >>> GatedConvNet(3, 24, width=32, depth=2)(torch.randn(8, 3, 16, 16)).shape
        torch.Size([8, 24, 16, 16])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 96,
        depth: int = 10,
        heads: int = 4,
        attention: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_counts("GatedConvNet", inputs=inputs, outputs=outputs, width=width, heads=heads)
        check_counts("GatedConvNet", least=0, depth=depth)
        if width < 1 or heads < 1 or width % heads:
            raise ValueError(f"GatedConvNet: width must be a multiple of heads, got width {width} and {heads} heads")
        if not 0 <= dropout < 1:
            raise ValueError(f"GatedConvNet: dropout must be a fraction in [0, 1), got {dropout}")
        self.inputs = inputs
        self.first = conv2d(inputs, width)
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks += [GatedConv(width, dropout), ChannelNorm(width)]
            if attention:
                blocks += [GatedAttention(width, heads, dropout), ChannelNorm(width)]
        self.blocks = nn.Sequential(*blocks)
        self.last = conv2d(width, outputs, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        check_image(self, x, self.inputs)
        h = self.first(channels_last(x))  # norm and attention want the channels of a site together
        return like(self.last(self.blocks(h)), x)


class GatedConv(nn.Module):
    """``h + a * sigmoid(b)``, a and b from the 3 x 3 sites around."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.inward = conv2d(2 * width, width)
        self.outward = conv2d(2 * width, 2 * width, 1, gain=0.1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        u = self.dropout(both_sides(self.inward(both_sides(h))))
        return h + F.glu(self.outward(u), 1)


class GatedAttention(nn.Module):
    """``h + a * sigmoid(b)``, a and b from what a site reads of all sites."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.place = nn.Linear(4 * WAVES, width, bias=False)
        self.inward = nn.Linear(width, 3 * width, bias=False)
        self.outward = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        tokens = h.flatten(2).transpose(1, 2) + self.place(waves(h))  # (B, T, width)
        parts = self.inward(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, T, width / heads)
        read = attend(*parts.unbind()).transpose(1, 2).flatten(2)
        change = F.glu(self.outward(self.dropout(read)), 2)
        return h + change.transpose(1, 2).unflatten(2, h.shape[2:])


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each site."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor) -> Tensor:
        return self.norm(h.movedim(1, -1)).movedim(-1, 1)


def both_sides(h: Tensor) -> Tensor:
    """``elu([h, -h])``, twice as many channels: neither sign is lost."""
    return F.elu(torch.cat([h, -h], 1))


def waves(h: Tensor) -> Tensor:
    """Sines and cosines of each site's row and column, ``(B, C, H, W) -> (H W, 4 WAVES)``."""
    height, width = h.shape[2:]
    frequency = math.pi * 2.0 ** torch.arange(WAVES, device=h.device)
    axes = []
    for side in (height, width):
        place = (torch.arange(side, device=h.device) + 0.5) / side
        angle = place[:, None] * frequency
        axes.append(torch.cat([angle.sin(), angle.cos()], 1))
    rows = axes[0][:, None].expand(height, width, -1)
    columns = axes[1].expand(height, width, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1).to(h.dtype)
