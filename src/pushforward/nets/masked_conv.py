"""Masked convolutions: a net of images whose output at a site sees only the sites before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last, conv2d
from .sites import SiteNet, Steps, at_site, pointwise


class MaskedConvNet(SiteNet):
    r"""PixelCNN's net: parameters for each site from the sites before it, row by row from the top left.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. A masked convolution that leaves out its own site (type A)
    comes first, then ``depth`` residual blocks ``h + W_3 relu(W_2 * relu(W_1 relu(h)))``, which narrow to half of the width for a masked
    convolution of side 3 that reads its own site (type B), then the head. A context ``(B, K)``, or ``(B, K, H, W)``, reaches every site.

    With R and r the radii of the first and the other convolutions, a site reads the row above up to R sites to its right, and r further
    for each row above that: what lies to the right of that line is a blind spot (R = 3, r = 1 by default). Its field ends ``R + depth r``
    sites to the left and above.

    Cost: ``(C k^2 / 2 + 9/4 depth width + C params) width`` multiplications per site. :meth:`unroll` computes each layer once
    at each site, the arithmetic of one pass, but in H W steps of small products, and keeps the features of all sites.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759, section 3. Departures:
    the order of the channels of a site is the head's (there of groups of channels in all layers), and the context.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: hidden channels (256 in the paper).
        depth: residual blocks (15 in the paper).
        kernel: the side k of the first convolution.
        dropout: the share of a block's hidden channels left out in training.
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, a side that is not odd or below 3, an odd width, x or a context of another shape.

    Example::

        >>> net = MaskedConvNet((3, 8, 8), 2, width=16)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    blocks: Sequence[MaskedBlock]

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 2,
        kernel: int = 7,
        dropout: float = 0.0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, width, context=context, in_turn=in_turn)
        check_counts("MaskedConvNet", kernel=kernel)
        check_counts("MaskedConvNet", least=0, depth=depth)
        if width % 2:
            raise ValueError(f"MaskedConvNet: expected an even width, got {width}")
        self.first = MaskedConv(shape[0], width, kernel, own=False)
        self.embed = nn.Conv2d(context, width, 1, bias=False) if context else None
        self.blocks = nn.ModuleList(MaskedBlock(width, dropout) for _ in range(depth))  # type: ignore[assignment]

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        h = channels_last(self.first(x))  # of one channel alone it would not come out so
        if self.embed is not None:
            h = h + self.embed(given)
        for block in self.blocks:
            h = block(h)
        return h

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        width = self.shape[2]
        taps = [layer.taps() for layer in (self.first, *(block.masked for block in self.blocks))]
        x: list[Tensor] = []
        seen: list[list[Tensor]] = [[] for _ in self.blocks]  # what each masked convolution reads, by site
        for i in range(self.shape[1] * width):
            h = self.first.at(x, i, width, taps[0], batch)
            if self.embed is not None and given is not None:
                h = h + pointwise(self.embed, at_site(given, i))
            for block, inner, weights in zip(self.blocks, seen, taps[1:], strict=True):
                inner.append(F.relu(pointwise(block.narrow, F.relu(h))))
                h = h + pointwise(block.widen, F.relu(block.masked.at(inner, i, width, weights, batch)))
            x.append((yield h))


class MaskedBlock(nn.Module):
    """``h + W_3 relu(W_2 * relu(W_1 relu(h)))``."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.narrow = conv2d(width, width // 2, 1)
        self.masked = MaskedConv(width // 2, width // 2, 3, own=True)
        self.dropout = nn.Dropout2d(dropout)
        self.widen = conv2d(width // 2, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.widen(self.dropout(F.relu(self.masked(F.relu(self.narrow(F.relu(h)))))))


class MaskedConv(nn.Module):
    """A convolution that reads the sites before a site, and that itself if ``own``: ``(B, inputs, H, W) -> (B, outputs, H, W)``."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, own: bool):
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"MaskedConv: expected an odd side of at least 3, got {kernel}")
        self.radius = kernel // 2
        r = self.radius
        self.reads = [(i, j) for i in range(-r, 1) for j in range(-r, r + 1) if i < 0 or j < own]
        mask = torch.ones(r + 1, kernel)  # rows below are left out altogether
        mask[-1, r + own :] = 0
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *mask.shape) * math.sqrt(2 / (inputs * len(self.reads))))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        r = self.radius
        return F.conv2d(F.pad(x, (r, r, r, 0)), self.weight * self.mask, self.bias)

    def taps(self) -> Tensor:
        """The weights of the sites that are read, one after the other, ``(outputs, taps * inputs)``."""
        r = self.radius
        return torch.cat([self.weight[:, :, row + r, column + r] for row, column in self.reads], 1)

    def at(self, seen: list[Tensor], i: int, width: int, taps: Tensor, batch: int) -> Tensor:
        """This layer at site i of an image of that width, from what was ``seen`` ``(B, inputs)`` at the sites up to it."""
        row, column = divmod(i, width)
        nothing = taps.new_zeros(batch, self.weight.shape[1])
        near = [
            seen[i + down * width + right] if row + down >= 0 and 0 <= column + right < width else nothing for down, right in self.reads
        ]
        return F.linear(torch.cat(near, 1), taps, self.bias)
