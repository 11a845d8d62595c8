"""Recurrent nets of images, whose output at a site sees the sites before it however far they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .conv2d import channels_last
from .masked_conv import MaskedConv
from .pixel_rnn_layers import DiagonalLSTM, LineLSTM, RowLSTM
from .sites import SiteNet, Steps, at_site, pointwise

LAYERS = {"rows": RowLSTM, "diagonal": DiagonalLSTM}


class PixelRNN(SiteNet):
    r"""PixelRNN's net: parameters for each site from the sites before it, by long short-term memory over rows or diagonals.

    ``(B, C, H, W) -> (B, params * C, H, W)``, seen as ``(B, params, C, H, W)``. A masked convolution that leaves out its own site comes
    first, then ``depth`` residual layers of ``width`` cells, ``h + W_3 LSTM(W_1 h, W_2 state)``, whose states come along:

    - ``rows``: from the three nearest sites of the row above. With R the first convolution's radius, a site reads, m rows above its own,
      the columns from ``R + depth + m`` to its left up to ``R + m - 1`` to its right, and of its row ``R + depth`` to its left;
    - ``diagonal``: from the site to the left and the one above; other cells read from the right and from above, and reach the sites one
      row below. A site reads all sites before it.

    A context ``(B, K)``, or ``(B, K, H, W)``, reaches every site.

    Cost: ``(C k^2 / 2 + (22 or 26) depth width + C params) width`` multiplications per site, in ``H`` or ``H + W`` steps of each layer, one
    after the other. :meth:`unroll` computes the cells of each site once: the arithmetic of one pass. Can be differentiated once.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759, sections 3.1 to 3.4.
    Departures: the order of the channels of a site is the head's (there of groups of channels in all layers); the context; and for
    ``diagonal`` a blank column on the right, without which the last site of the row above is seen from up to R columns away only.

    Arguments:
        shape: of the image ``(C, H, W)``.
        params: outputs for each number.
        variant: along which lines the states go.
        width: cells of a layer, and of each direction (16 in the paper for MNIST, 128 for CIFAR-10).
        depth: layers (7 in the paper for MNIST, 12 for CIFAR-10).
        kernel: the side k of the first convolution.
        context: channels of the context.
        in_turn: each channel reads those before it at its site.

    Raises:
        ValueError: no image shape, another variant, no layer, a side that is not odd or below 3, x or a context of another shape.

    Example::

        >>> net = PixelRNN((3, 8, 8), 2, variant="rows", width=8)
        >>> net(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 6, 8, 8])
    """

    layers: Sequence[LineLSTM]

    def __init__(
        self,
        shape: Sequence[int],
        params: int,
        *,
        variant: Literal["rows", "diagonal"] = "diagonal",
        width: int = 16,
        depth: int = 2,
        kernel: int = 7,
        context: int = 0,
        in_turn: bool = False,
    ):
        check_counts("PixelRNN", width=width)
        super().__init__(shape, params, 2 * width, context=context, in_turn=in_turn)
        check_counts("PixelRNN", depth=depth)
        if variant not in LAYERS:
            raise ValueError(f"PixelRNN: variant must be 'rows' or 'diagonal', got {variant!r}")
        self.blank = int(variant == "diagonal")  # columns on the right
        self.first = MaskedConv(shape[0], 2 * width, kernel, own=False)
        self.embed = nn.Conv2d(context, 2 * width, 1, bias=False) if context else None
        self.layers = nn.ModuleList(LAYERS[variant](width) for _ in range(depth))  # type: ignore[assignment]

    def features(self, x: Tensor, given: Tensor | None) -> Tensor:
        h = self.first(F.pad(channels_last(x), (0, self.blank)))
        if self.embed is not None:
            h = h + F.pad(self.embed(given).expand(-1, -1, *self.shape[1:]), (0, self.blank))
        h = h.permute(1, 2, 3, 0).contiguous()
        for layer in self.layers:
            h = layer(h)
        return h[:, :, : self.shape[2]].permute(3, 0, 1, 2)

    def steps(self, batch: int, given: Tensor | None) -> Steps:
        channels, height, width = self.shape
        taps, nothing = self.first.taps(), self.head.last.weight.new_zeros(batch, channels)
        walks = [layer.walk(batch, width + self.blank) for layer in self.layers]
        for walk in walks:
            next(walk)
        x: list[Tensor] = []
        for row in range(height):
            for column in range(width + self.blank):
                h = self.first.at(x, len(x), width + self.blank, taps, batch)
                if self.embed is not None and given is not None and column < width:
                    h = h + pointwise(self.embed, at_site(given, row * width + column))
                for walk in walks:
                    h = walk.send(h)
                x.append((yield h) if column < width else nothing)
