"""PixelCNN++'s net: two streams of shifted convolutions at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last
from .shifted_conv import ShiftedBlock, ShiftedConv
from .sites import SiteNet, Steps, at_site
from .ways import WHOLE, ByRow, BySite, Way


class ShiftedConvNet(SiteNet):
    r"""PixelCNN++'s net: parameters for each site from the sites before it, row by row from the top left, with no blind spot.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. One stream of features reads the rows above a site, on
    both sides, with kernels of 2 x 3; the other what is above and to the left, with kernels of 2 x 2, and the first stream in each of its
    blocks. Nothing is masked: images are padded and cropped, and a channel of ones says where they end. Each stream is ``depth`` gated
    blocks at each of ``scales`` resolutions on the way down, by convolutions of stride 2, and again on the way up (one more but at the
    lowest), where each block also reads what stood there on the way down. A context ``(B, K)``, or ``(B, K, H, W)``, enters each gate; of a
    map a site reads what is given in the rows above and in its own, to both sides.

    Field: each convolution of a block reads one site of its resolution further up and to the sides. Of ``2 depth`` blocks at the highest
    alone a site reads all before it that are ``4 depth + 1`` rows above and columns to either side, or nearer; lower resolutions reach
    twice, four times as far.

    Cost: about ``64 (2 depth + 1) width^2`` multiplications per site, and a third more at lower resolutions. :meth:`unroll` does the
    arithmetic of one pass: the first stream row by row, the other in H W steps of small products, at a lower resolution where a site of it
    begins. It remembers a row for each convolution.

    Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications, Salimans,
    Karpathy, Chen, Kingma, 2017, arXiv:1701.05517, and its code. Departures: the way up is a convolution to four times the channels, each
    a part of a square of 2 x 2 (there a transposed one, which of 2 x 2 is the same), and the head.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: channels of each stream (160 in the paper).
        depth: blocks at each resolution (5 in the paper).
        scales: resolutions (3 in the paper); default as many of 3 as the sides can be halved for.
        dropout: the share of a block's hidden numbers left out in training (0.5 in the paper).
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, sides that can't be halved so often, x or a context of another shape.

    Example::

        >>> net = ShiftedConvNet((3, 8, 8), 2, width=16, depth=1)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 2,
        scales: int | None = None,
        dropout: float = 0.0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, width, context=context, in_turn=in_turn)
        check_counts("ShiftedConvNet", depth=depth)
        channels, *sides = shape
        halvings = [n for n in range(3) if not any(side % 2**n for side in sides)]
        scales = halvings[-1] + 1 if scales is None else scales
        check_counts("ShiftedConvNet", scales=scales)
        if any(side % 2 ** (scales - 1) for side in sides):
            raise ValueError(
                f"ShiftedConvNet: {scales} scales need sides that are multiples of {2 ** (scales - 1)}, got {sides[0]} x {sides[1]}; "
                f"give at most {halvings[-1] + 1}, or images of another size"
            )
        self.top = ShiftedConv(channels + 1, width, (2, 3), down=1)
        self.over = ShiftedConv(channels + 1, width, (1, 3), down=1)
        self.beside = ShiftedConv(channels + 1, width, (2, 1), right=1)
        self.above = ShiftedStream(width, depth, scales, sides=True, reads=0, dropout=dropout, context=context)
        self.left = ShiftedStream(width, depth, scales, sides=False, reads=width, dropout=dropout, context=context)

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        x = with_ones(channels_last(x))
        rows = self.above(self.top(x), given)
        return self.left(self.over(x) + self.beside(x), given, rows).out[-1]

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        channels, height, width = self.shape
        by_row, by_site = ByRow(), BySite(width)
        outside = self.top.bias.new_zeros(batch, channels + 1, 1)
        above = outside.expand(-1, -1, width)  # the row before, where a shifted convolution ends
        for i in range(height):
            way = by_row.at(i)
            row_given = None if given is None else given[:, :, i if given.shape[2] > 1 else 0]
            rows, over = self.above(self.top(above, way), row_given, None, way), self.over(above, way)
            found = [outside.squeeze(2)]
            for j in range(width):
                site = by_site.at(i, j)
                h = over[:, :, j] + self.beside(found[-1], site)
                h = self.left(h, None if given is None else at_site(given, i * width + j), rows, site).out[-1]
                found.append(with_ones((yield h)))
            above = torch.stack(found[1:], 2)


class Passed(NamedTuple):
    """Features after each block of a stream, and those of the stream at half the resolution."""

    out: list[Tensor]
    inner: Passed | None


class ShiftedStream(nn.Module):
    """Gated blocks at one resolution, down and up again, and between the two a stream at half of it."""

    def __init__(self, width: int, depth: int, scales: int, *, sides: bool, reads: int, dropout: float, context: int):
        super().__init__()
        kernel = (2, 3) if sides else (2, 2)
        block = partial(ShiftedBlock, width, kernel, dropout=dropout, context=context)
        self.there = nn.ModuleList(block(reads=reads) for _ in range(depth))
        back = depth + (scales > 1)  # where the way down began is read as well, but at the lowest resolution, which turns around
        self.back = nn.ModuleList(block(reads=reads + width) for _ in range(back))
        self.inner: ShiftedStream | None = None
        if scales > 1:
            self.inner = ShiftedStream(width, depth, scales - 1, sides=sides, reads=reads, dropout=dropout, context=context)
            self.down = ShiftedConv(width, width, kernel, stride=2)
            self.up = ShiftedConv(width, 4 * width, (1, 3) if sides else (1, 1))

    def forward(self, h: Tensor, given: Tensor | None, other: Passed | None = None, way: Way = WHOLE) -> Passed:
        out: list[Tensor] = []
        kept = [h]

        def pass_on(block: nn.Module, h: Tensor, *shortcut: Tensor) -> Tensor:
            beside = () if other is None else (way.part(other.out[len(out)]),)
            out.append(block(h, *beside, *shortcut, given=given, way=way))
            return out[-1]

        for block in self.there:
            h = pass_on(block, h)
            kept.append(h)
        inner: Passed | None = None
        if self.inner is None:
            h = kept.pop()
        else:
            low, coarse, fresh = self.down(h, way), way.coarse(), None
            if coarse is not None:
                inner = self.inner(low, way.halved(given), None if other is None else other.inner, coarse)
                fresh = self.up(inner.out[-1], coarse)
            h = way.spread(self, fresh)
        for block in self.back:
            h = pass_on(block, h, kept.pop())
        return Passed(out, inner)


def with_ones(x: Tensor) -> Tensor:
    """x and a channel of ones, ``(B, C, ...) -> (B, C + 1, ...)``."""
    return F.pad(x, (*(0 for _ in range(2 * (x.dim() - 2))), 0, 1), value=1.0)
