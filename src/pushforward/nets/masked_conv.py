"""Masked convolutions: a net of images whose output at a site sees only the sites before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .causal import CausalNet, Solve


class MaskedConvNet(CausalNet):
    r"""PixelCNN's net: parameters for each site from the sites before it, row by row from the top left; all channels of a site at once.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. A masked convolution that leaves out its own site (type A)
    comes first, then ``depth`` residual blocks ``h + W_2 relu(W_1 * relu(h))`` with a masked convolution of side 3 that reads its own site
    (type B), then a linear map of each site, which starts at zero. A context ``(B, K)``, or ``(B, K, H, W)``, reaches every site.

    With R and r the radii of the first and the other convolutions, a site reads the row above up to R sites to its right, and r further
    for each row above that: what lies to the right of that line is a blind spot (R = 2, r = 1 by default). Its field ends ``R + depth r``
    sites to the left and above.

    Cost: ``(C k^2 / 2 + 5 depth width + depth width + C params) width`` multiplications per site. :meth:`unroll` computes each layer once
    at each site, the arithmetic of one pass, but in H W steps of small products, and keeps the features of all sites.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759, section 3. Departures:
    the channels of a site are not ordered (a likelihood may tie them), blocks do not narrow, and the context.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: hidden channels.
        depth: residual blocks.
        kernel: the side k of the first convolution (7 in the paper).
        context: channels of the context.

    Raises:
        ValueError: no image shape, a side that is not odd or below 3, x or a context of another shape.

    Example::

        >>> net = MaskedConvNet((3, 8, 8), 2, width=16)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    convolutions: Sequence[MaskedConv]
    mixed: Sequence[nn.Conv2d]

    def __init__(self, shape: Sequence[int], params: int, *, width: int = 64, depth: int = 2, kernel: int = 5, context: int = 0):
        super().__init__()
        check_counts("MaskedConvNet", params=params, width=width, kernel=kernel)
        check_counts("MaskedConvNet", least=0, depth=depth, context=context)
        if len(shape) != 3:
            raise ValueError(f"MaskedConvNet: expected the shape of an image (C, H, W), got {tuple(shape)}")
        self.shape, self.params, self.context = tuple(shape), params, context
        self.first = MaskedConv(shape[0], width, kernel, own=False)
        self.embed = nn.Conv2d(context, width, 1, bias=False) if context else None
        self.convolutions = nn.ModuleList(MaskedConv(width, width, 3, own=True) for _ in range(depth))  # type: ignore[assignment]
        self.mixed = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))  # type: ignore[assignment]
        self.last = nn.Conv2d(width, params * shape[0], 1)
        for layer in (*self.mixed, self.last):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"MaskedConvNet: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        h = self.first(x)
        if (given := self._embedded(context, x.shape[0])) is not None:
            h = h + given
        for masked, mixed in zip(self.convolutions, self.mixed, strict=True):
            h = h + mixed(F.relu(masked(F.relu(h))))
        return self.last(F.relu(h))

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        channels, height, width = self.shape
        given = self._embedded(context, batch)
        layers = [self.first, *self.convolutions]
        weights = [layer.taps() for layer in layers]
        seen: list[list[Tensor]] = [[] for _ in layers]  # what each masked convolution reads, by site
        for i in range(height * width):
            row, column = divmod(i, width)
            h = self.first.at(seen[0], row, column, width, weights[0], batch)
            if given is not None:
                h = h + (given[:, :, row, column] if given.shape[2:] == (height, width) else given[:, :, 0, 0])
            for n, (masked, mixed) in enumerate(zip(self.convolutions, self.mixed, strict=True), 1):
                seen[n].append(F.relu(h))
                h = h + pointwise(mixed, F.relu(masked.at(seen[n], row, column, width, weights[n], batch)))
            seen[0].append(solve(i, pointwise(self.last, F.relu(h)).view(batch, self.params, channels)))
        return torch.stack(seen[0], 2).view(batch, *self.shape)

    def _embedded(self, context: Tensor | None, batch: int) -> Tensor | None:
        """What the context adds to the first layer, ``(B, width, H or 1, W or 1)``."""
        if self.embed is None:
            return None
        if context is None or context.shape[:2] != (batch, self.context) or context.shape[2:] not in ((), self.shape[1:]):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"MaskedConvNet: expected a context of shape ({batch}, {self.context}), with or without space, got {got}")
        return self.embed(context if context.dim() == 4 else context[:, :, None, None])

    def extra_repr(self) -> str:
        return f"shape={self.shape}, params={self.params}, context={self.context}"


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

    def at(self, seen: list[Tensor], row: int, column: int, width: int, taps: Tensor, batch: int) -> Tensor:
        """This layer at one site of an image of that width, from what was ``seen`` ``(B, inputs)`` at the sites up to it."""
        nothing = taps.new_zeros(batch, self.weight.shape[1])
        near = [seen[(row + i) * width + column + j] if row + i >= 0 and 0 <= column + j < width else nothing for i, j in self.reads]
        return F.linear(torch.cat(near, 1), taps, self.bias)


def pointwise(layer: nn.Conv2d, h: Tensor) -> Tensor:
    """A 1x1 convolution at one site, ``(B, inputs) -> (B, outputs)``."""
    return F.linear(h, layer.weight.flatten(1), layer.bias)
