"""The velocity that sees an image at several resolutions."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import check_image
from .mlp import linear
from .velocity import Activation, VelocityNet, activated, check_activation, time_and_context

FREQUENCIES = 7  # of time, from 1 to 8
LEAST_VARIANCE = 1e-5


class UNet(VelocityNet):
    r"""Residual blocks down to images of ``2^-scales`` of the sides and up again, ``(B, C, H, W) -> (B, C, H, W)``; starts at zero.

    A block is ``h + W_2 a(s * norm(W_1 a(norm(h))) + b)``: group norm within a row, so that rows stay independent, units a, and a scale s
    and shift b from time and context, through a dense layer of ``sin(w t)`` and ``cos(w t)``, w from 1 to 8. Sides are halved,
    rounding up, by convolutions of stride 2 and doubled by repetition, so that any size will do; what leaves a resolution on the way down
    is seen again on the way up. Channels are ``width`` at the first resolution and ``2 width`` below.

    Cost: about ``9 width^2 (8 depth + 6)`` multiplications per site; :meth:`products` carries vectors along, each at about the cost of two
    passes.

    References: U-Net, Ronneberger, Fischer, Brox, 2015, arXiv:1505.04597; Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel,
    2020, arXiv:2006.11239, appendix B. Departures: one skip for each resolution; time scales too; no attention, no dropout; lower
    frequencies, which the steps of a solver must resolve.

    Arguments:
        channels: C.
        width: hidden channels (128 in the paper).
        depth: blocks at each resolution, each way (2 in the paper).
        scales: times that sides are halved (3 in the paper, for 32 x 32).
        context: numbers of the context.
        activation: "tanh", "softplus" or "swish".

    Raises:
        ValueError: another activation (rectified units have no second derivative), x or a context of another shape.

    Example::

        >>> net = UNet(1, width=8)
        >>> f, products = net.products(torch.randn(2, 1, 7, 7), 0.5, None, torch.randn(3, 2, 1, 7, 7))
        >>> f.shape, products.shape
        (torch.Size([2, 1, 7, 7]), torch.Size([3, 2, 1, 7, 7]))
    """

    def __init__(
        self, channels: int, *, width: int = 32, depth: int = 1, scales: int = 2, context: int = 0, activation: Activation = "swish"
    ):
        super().__init__()
        check_counts("UNet", channels=channels, width=width, depth=depth)
        check_counts("UNet", least=0, scales=scales, context=context)
        check_activation(self, activation)
        self.channels, self.context, self.activation = channels, context, activation
        sizes, told = [width, *[2 * width] * scales], 4 * width

        def blocks(inputs: int, size: int) -> nn.ModuleList:
            return nn.ModuleList(ResidualBlock(size if i else inputs, size, told, activation) for i in range(depth))

        self.told = linear(2 * FREQUENCIES + context, told)
        self.first = linear_conv(channels, width)
        self.down = nn.ModuleList(blocks(size, size) for size in sizes)
        self.halves = nn.ModuleList(linear_conv(a, b, stride=2) for a, b in pairwise(sizes))
        self.doubles = nn.ModuleList(linear_conv(a, b) for a, b in pairwise(sizes[::-1]))
        self.up = nn.ModuleList(blocks(2 * size, size) for size in sizes[-2::-1])
        self.last, self.offset = NormedConv(width, channels, told, activation, zero=True), linear(told, channels, zero=True)

    def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
        told = self._told(z, t, context)
        return self._moved(z, told, len(z)) + self.offset(told)[..., None, None]

    def products(self, z: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        told = self._told(z, t, context)
        moved = self._moved(torch.cat([z[None], v]).flatten(0, 1), told, len(z)).unflatten(0, (1 + len(v), len(z)))
        return moved[0] + self.offset(told)[..., None, None], moved[1:]

    def _told(self, z: Tensor, t: float | Tensor, context: Tensor | None) -> Tensor:
        """What every layer hears of time and context, ``(1 or B, 4 width)``."""
        check_image(self, z, self.channels)
        given = time_and_context(self, z, t, context, self.context)
        angles = given[:, :1] * torch.linspace(0, 3, FREQUENCIES, dtype=z.dtype, device=z.device).exp2()
        return activated(self.activation, self.told(torch.cat([angles.sin(), angles.cos(), given[:, 1:]], 1)), None)[0]

    def _moved(self, h: Tensor, told: Tensor, rows: int) -> Tensor:
        """Images, so many rows, with the vectors at them below: what is linear does the same to both."""
        h, seen = self.first(h), []
        for i, blocks in enumerate(self.down):
            h = self.halves[i - 1](h) if i else h
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, told, rows)
            seen.append(h)
        del seen[-1]
        for double, blocks in zip(self.doubles, self.up, strict=True):
            h = torch.cat([double(F.interpolate(h, seen[-1].shape[2:])), seen.pop()], 1)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, told, rows)
        return self.last(h, told, rows)


class ResidualBlock(nn.Module):
    """``h`` and two layers of it; starts as h, or a projection of it where channels differ."""

    def __init__(self, inputs: int, outputs: int, told: int, activation: Activation):
        super().__init__()
        self.inner = NormedConv(inputs, outputs, told, activation)
        self.outer = NormedConv(outputs, outputs, told, activation, zero=True)
        self.skip = nn.Identity() if inputs == outputs else linear_conv(inputs, outputs, 1)

    def forward(self, h: Tensor, told: Tensor, rows: int) -> Tensor:
        return self.skip(h) + self.outer(self.inner(h, told, rows), told, rows)


class NormedConv(nn.Module):
    """``W a((1 + s) norm(h) + b)`` of images, s and b linear in what is told of a row, and its slope along the vectors below them.

    The norm is that of groups of 4 channels or more, of which even a single site keeps something.
    """

    def __init__(self, inputs: int, outputs: int, told: int, activation: Activation, *, zero: bool = False):
        super().__init__()
        self.groups, self.activation = math.gcd(inputs, max(1, inputs // 4)), activation
        self.told, self.weights = linear(told, 2 * inputs), linear_conv(inputs, outputs, zero=zero)

    def forward(self, h: Tensor, told: Tensor, rows: int) -> Tensor:
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        h, v = (h, None) if len(h) == rows else (h[:rows], h[rows:])
        groups = h.unflatten(1, (self.groups, -1)).flatten(2)
        normal = F.layer_norm(groups, groups.shape[2:], eps=LEAST_VARIANCE)
        units = (1 + scale) * normal.view_as(h) + shift
        if v is None:
            return self.weights(activated(self.activation, units, None)[0])
        slope = (1 + scale) * _slope_of_norm(groups, normal, v.reshape(-1, *groups.shape)).view(-1, *h.shape)
        h, v = activated(self.activation, units, slope)
        assert v is not None
        return self.weights(torch.cat([h, v.flatten(0, 1)]))


def _slope_of_norm(groups: Tensor, normal: Tensor, v: Tensor) -> Tensor:
    """Along vectors ``(K, B, groups, n)``: what of them neither shifts a group nor stretches it, in its units."""
    scale = (groups.var(-1, correction=0, keepdim=True) + LEAST_VARIANCE).rsqrt()
    return scale * (v - v.mean(-1, keepdim=True) - normal * (normal * v).mean(-1, keepdim=True))


def linear_conv(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, zero: bool = False) -> nn.Conv2d:
    """A convolution without offsets, which does the same to vectors as to images; of stride 2 it halves the sides, rounded up."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    if zero:
        nn.init.zeros_(layer.weight)
    return layer
