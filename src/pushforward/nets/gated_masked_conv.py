"""Two stacks of gated masked convolutions: a net of images whose output at a site sees all sites before it within its field."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last
from .sites import SiteNet, Steps, pointwise

GATED = 3.0  # one over the root mean square of tanh(a) sigmoid(b) for normal a and b


class GatedMaskedConvNet(SiteNet):
    r"""Gated PixelCNN's net: parameters for each site from the sites before it, without a blind spot.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. Two stacks of convolutions: the vertical one, v, reads
    the rows above; the horizontal one, h, what is to the left, and v. With ``gate([a, b]) = tanh(a) sigmoid(b)`` a layer is
    ``v' = gate(W_1 * v + V_1 c)`` and ``h' = h + W_4 gate(W_2 W_1 * v + W_3 * h + V_2 c)`` for a context c, ``(B, K)`` or
    ``(B, K, H, W)``. The first layer leaves out its own site and has no residual connection.

    With R and r the radii of the first and the other convolutions, and ``n = R + depth r``, a site reads the n sites to its left and,
    of each of the n rows above, those up to n columns away. Of a context in space it reads its own row to both sides.

    Cost: about ``(9 + 2 k^2) width^2`` multiplications per site and layer of side k. :meth:`unroll` computes the vertical stack row by row
    and the horizontal one site by site: the arithmetic of one pass, in H W steps of small products.

    Reference: Conditional Image Generation with PixelCNN Decoders, van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu,
    2016, arXiv:1606.05328, section 2. Departures: the order of the channels of a site is the head's (there of groups of channels in all
    layers), and weights start with the variance that keeps that of gated units.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        width: channels of each stack (384 in the paper, for ImageNet).
        depth: layers after the first (19 in the paper, for ImageNet).
        kernel: the side of the first layer's convolution.
        block_kernel: the side of the others' (5 in the paper, for ImageNet).
        dropout: the share of the horizontal stack's gated channels left out in training.
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, a side that is not odd or below 3, x or a context of another shape.

    Example::

        >>> net = GatedMaskedConvNet((3, 8, 8), 2, width=16)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    layers: Sequence[GatedLayer]

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        width: int = 64,
        depth: int = 2,
        kernel: int = 7,
        block_kernel: int = 3,
        dropout: float = 0.0,
        context: int = 0,
        in_turn: bool = False,
    ):
        super().__init__(shape, params, width, context=context, in_turn=in_turn)
        check_counts("GatedMaskedConvNet", least=0, depth=depth)
        first = GatedLayer(shape[0], width, kernel, context, dropout, own=False)
        others = (GatedLayer(width, width, block_kernel, context, dropout, own=True) for _ in range(depth))
        self.layers = nn.ModuleList([first, *others])  # type: ignore[assignment]

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        h = channels_last(x)
        v = F.pad(h, (0, 0, 1, -1))  # a row reads those above it
        for layer in self.layers:
            a, b = layer.vertical(F.pad(v, (0, 0, layer.taps - 1, 0)), given)
            v, h = gate(a), layer.horizontal(h, b)
        return h

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        channels, height, width = self.shape
        layers, blank = list(self.layers), self.head.last.weight.new_zeros
        weights = [layer.weights() for layer in layers]
        rows = [blank(batch, layer.inputs, layer.taps, width) for layer in layers]  # that a vertical convolution reads
        v = blank(batch, channels, 1, width)
        for row in range(height):
            here = given if given is None or given.shape[2] == 1 else given[:, :, row : row + 1]
            offsets = []
            for n, layer in enumerate(layers):
                rows[n] = torch.cat([rows[n][:, :, 1:], v], 2)
                a, b = layer.vertical(rows[n], here)
                v = gate(a)
                offsets.append(b.squeeze(2).unbind(2))
            seen = [[blank(batch, layer.inputs)] * layer.taps for layer in layers]  # what a horizontal convolution reads
            for column in range(width):
                h = layers[0].at(seen[0], weights[0], offsets[0][column])
                for layer, inner, weight, offset in zip(layers[1:], seen[1:], weights[1:], offsets[1:], strict=True):
                    inner.append(h)
                    h = layer.at(inner, weight, offset[column])
                seen[0].append((yield h))
            v = torch.stack(seen[0][-width:], 2).unsqueeze(2)


class GatedLayer(nn.Module):
    """Both stacks' convolutions of one side; the first layer leaves out its own site (``own=False``) and adds nothing to its input."""

    entries = ("vertical", "horizontal")

    def __init__(self, inputs: int, width: int, kernel: int, context: int, dropout: float, *, own: bool):
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"GatedMaskedConvNet: expected odd sides of at least 3, got {kernel}")
        self.inputs, self.own, self.radius, self.taps = inputs, own, kernel // 2, kernel // 2 + own
        gain = GATED if own else 1.0
        self.rows = scaled_conv(nn.Conv2d(inputs, 2 * width, (self.taps, kernel), padding=(0, self.radius)), gain)
        self.across = scaled_conv(nn.Conv2d(2 * width, 2 * width, 1))
        self.left = scaled_conv(nn.Conv2d(inputs, 2 * width, (1, self.taps), bias=False))
        self.embed = nn.Conv2d(context, 4 * width, 1, bias=False) if context else None
        self.dropout = nn.Dropout2d(dropout)
        self.outward = scaled_conv(nn.Conv2d(width, width, 1), GATED)

    def vertical(self, v: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the vertical stack's gate reads, and what the horizontal one's reads of the vertical stack: no rows are added above."""
        a = self.rows(v)
        b = self.across(a)
        if self.embed is None:
            return a, b
        to_a, to_b = self.embed(given).chunk(2, 1)
        return a + to_a, b + to_b

    def horizontal(self, h: Tensor, b: Tensor) -> Tensor:
        change = self.outward(self.dropout(gate(b + self.left(F.pad(h, (self.radius, self.own - 1))))))
        return h + change if self.own else change

    def weights(self) -> Tensor:
        """Of the horizontal convolution, tap after tap, ``(taps * inputs, 2 width)``."""
        return self.left.weight.squeeze(2).permute(2, 1, 0).flatten(0, 1)

    def at(self, seen: list[Tensor], weights: Tensor, b: Tensor) -> Tensor:
        """:meth:`horizontal` at one site, from what was ``seen`` up to it, ``(B, inputs)`` each."""
        near = torch.cat(seen[-self.taps :], 1)
        change = pointwise(self.outward, gate(torch.addmm(b, near, weights)))
        return seen[-1] + change if self.own else change


def gate(h: Tensor) -> Tensor:
    """``tanh(a) sigmoid(b)`` of the two halves of the channels."""
    a, b = h.chunk(2, 1)
    return a.tanh() * b.sigmoid()


def scaled_conv(layer: nn.Conv2d, gain: float = 1.0) -> nn.Conv2d:
    """Its weights start with variance ``gain^2 / fan-in``, its offsets at zero."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
