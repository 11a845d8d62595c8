"""PixelSNAIL's net: shifted convolutions, and attention to all sites before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .attention import Cache, attend
from .conv2d import channels_last
from .shifted_conv import ShiftedBlock, ShiftedConv
from .sites import SiteNet, Steps, at_site
from .two_streams import with_ones
from .ways import WHOLE, ByRow, BySite, Way


class SnailNet(SiteNet):
    r"""PixelSNAIL's net: parameters for each site from all sites before it, row by row from the top left.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. Convolutions of what is above and of what is to the left
    come first, shifted so that no site reads itself. Each of ``depth`` blocks is ``convs`` gated residual blocks of shifted convolutions
    of 2 x 2, then attention: a site asks by its features and its place (row and column), and reads values of the sites before it, made
    like their keys of the numbers, features and place there; what was read enters another gated block. A context ``(B, K)``, or
    ``(B, K, H, W)``, enters each gate of the convolutions.

    Cost: about ``(24 convs + 20) width^2 + H W width / 2`` multiplications per site and block. :meth:`unroll` does the arithmetic of
    one pass, in H W steps of small products; it keeps keys and values of all sites, and a row for each convolution.

    Reference: PixelSNAIL: An Improved Autoregressive Generative Model, Chen, Mishra, Rohaninejad, Abbeel, 2017, arXiv:1712.09763, and its
    code. Departures: a site may also read nothing, a key and a value of zeros, which the first one has alone; products of keys are
    divided by the root of their size; ``e(h) = elu([h, -h])`` in each gated block, as in PixelCNN++ (there ``elu(h)``); the head.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: channels (256 in the paper).
        depth: blocks of convolutions and attention (12 in the paper).
        convs: gated blocks of convolutions in each (4 in the paper).
        key: numbers of a key (16 in the paper); a value has half the width.
        dropout: the share of a gated block's hidden numbers left out in training (0.5 in the paper).
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, a width below 2, x or a context of another shape.

    Example::

        >>> net = SnailNet((3, 8, 8), 2, width=16, depth=1)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    blocks: Sequence[SnailBlock]
    background: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 2,
        convs: int = 2,
        key: int = 16,
        dropout: float = 0.0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, width, context=context, in_turn=in_turn)
        check_counts("SnailNet", depth=depth, convs=convs, key=key)
        check_counts("SnailNet", least=2, width=width)
        channels, height, columns = shape
        self.over = ShiftedConv(channels + 1, width, (1, 3), down=1)
        self.beside = ShiftedConv(channels + 1, width, (2, 1), right=1)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            SnailBlock(channels, width, convs, key, dropout, context) for _ in range(depth)
        )
        axes = [torch.arange(side) / side - 0.5 for side in (height, columns)]
        self.register_buffer("background", torch.stack(torch.meshgrid(*axes, indexing="ij")), persistent=False)

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        x = channels_last(x)
        place = self.background.expand(len(x), -1, -1, -1)
        h = self.over(with_ones(x)) + self.beside(with_ones(x))
        for block in self.blocks:
            h = block(h, x, place, given)
        return h

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        channels, height, width = self.shape
        by_row, by_site = ByRow(), BySite(width)
        places = self.background.expand(batch, -1, -1, -1)
        memories = [SnailMemory(block, height * width, batch) for block in self.blocks]
        outside = self.over.bias.new_zeros(batch, channels + 1, 1)
        above = outside.expand(-1, -1, width)  # the row before, where a shifted convolution ends
        for i in range(height):
            over = self.over(above, by_row.at(i))
            found = [outside.squeeze(2)]
            for j in range(width):
                site, place = by_site.at(i, j), places[:, :, i, j]
                h = over[:, :, j] + self.beside(found[-1], site)
                for memory in memories:
                    h = memory.read(h, place, None if given is None else at_site(given, i * width + j), site)
                x = yield h
                for memory in memories:
                    memory.add(x)
                found.append(with_ones(x))
            above = torch.stack(found[1:], 2)


class SnailBlock(nn.Module):
    """Gated shifted convolutions, then what attention reads of the sites before, into another gated block."""

    def __init__(self, channels: int, width: int, convs: int, key: int, dropout: float, context: int):
        super().__init__()
        self.key, self.value = key, width // 2
        self.size = max(self.key, self.value)  # fused kernels take keys and values of one size
        self.convs = nn.ModuleList(ShiftedBlock(width, (2, 2), dropout=dropout, context=context) for _ in range(convs))
        self.known = ShiftedBlock(channels + width + 2, (1, 1), dropout=dropout)
        self.tells = ShiftedConv(channels + width + 2, self.key + self.value)
        self.asked = ShiftedBlock(width + 2, (1, 1), dropout=dropout)
        self.asks = ShiftedConv(width + 2, self.key)
        self.merge = ShiftedBlock(width, (1, 1), reads=self.value, dropout=dropout)

    def forward(self, h: Tensor, x: Tensor, place: Tensor, given: Tensor | None) -> Tensor:
        h = self.convolved(h, given)
        keys, values = (F.pad(tokens, (0, 0, 1, -1)) for tokens in self.told(x, h, place))  # a site reads those before
        read = attend(self.query(h, place), keys, values, causal=True)
        return self.merge(h, self.value_of(read).unflatten(2, h.shape[2:]))

    def convolved(self, h: Tensor, given: Tensor | None, way: Way = WHOLE) -> Tensor:
        for conv in self.convs:
            h = conv(h, given=given, way=way)
        return h

    def query(self, h: Tensor, place: Tensor, way: Way = WHOLE) -> Tensor:
        h = torch.cat([h, place], 1)
        return self._tokens(self.asks(self.asked(h, way=way), way)) * math.sqrt(self.size / self.key)

    def told(self, x: Tensor, h: Tensor, place: Tensor, way: Way = WHOLE) -> list[Tensor]:
        """Keys and values."""
        h = torch.cat([x, h, place], 1)
        return [self._tokens(part) for part in self.tells(self.known(h, way=way), way).split([self.key, self.value], 1)]

    def value_of(self, read: Tensor) -> Tensor:
        """``(B, 1, T, size) -> (B, value, T)``."""
        return read[:, 0, :, : self.value].transpose(1, 2)

    def _tokens(self, h: Tensor) -> Tensor:
        """``(B, F, *space) -> (B, 1, T, size)``, filled up with zeros."""
        tokens = (h if h.dim() > 2 else h.unsqueeze(2)).flatten(2).transpose(1, 2).unsqueeze(1)
        return F.pad(tokens, (0, self.size - tokens.shape[3]))


class SnailMemory:
    """A block that is visited site by site, and the keys and values that it has told so far."""

    here: tuple[Tensor, Tensor, Way]  # what was read last

    def __init__(self, block: SnailBlock, sites: int, batch: int):
        self.block = block
        nothing = block.tells.bias.new_zeros(batch, 1, 1, block.size)
        self.cache = Cache(sites + 1, batch * block.size, nothing)
        self.known = self.cache.append(nothing, nothing)

    def read(self, h: Tensor, place: Tensor, given: Tensor | None, way: Way) -> Tensor:
        h = self.block.convolved(h, given, way)
        self.here = h, place, way
        keys, values = self.known
        read = attend(self.block.query(h, place, way), keys, values)
        return self.block.merge(h, self.block.value_of(read).squeeze(2), way=way)

    def add(self, x: Tensor) -> None:
        """The site that was read last held x."""
        self.known = self.cache.append(*self.block.told(x, *self.here))
