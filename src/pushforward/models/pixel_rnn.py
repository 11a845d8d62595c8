"""PixelRNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow
from ..nets import PixelRNN
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def pixel_rnn(
    shape: Sequence[int],
    *,
    levels: int = 256,
    variant: Literal["rows", "diagonal"] = "diagonal",
    width: int = 16,
    depth: int = 3,
    kernel: int = 7,
    pixel: Level = "auto",
    components: int = 5,
    context: int = 0,
) -> Flow:
    """PixelRNN: each pixel given all before it, by memory that goes along rows or diagonals (van den Oord et al., 2016, arXiv:1601.06759).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass of ``H`` (rows) or ``H + W`` (diagonal) steps for each layer; a sample takes a step for each pixel, with
    the arithmetic of one pass in all.

    Caveats: layers go line by line, so that a pass takes longer than one of convolutions of the same arithmetic; ``rows`` reads a
    triangle above the pixel only. Derivatives are first ones. There is no latent.

    Reference: Level Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759. Departures: of
    :class:`~pushforward.nets.PixelRNN`, and a mixture of logistics where there are many levels.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        variant: "rows", the row LSTM; "diagonal", the diagonal bidirectional LSTM.
        width: cells of a layer and direction (16 in the paper for MNIST, 128 for CIFAR-10).
        depth: layers (7 in the paper for MNIST, 12 for CIFAR-10).
        kernel: the side of the first convolution (7 in the paper).
        pixel: "categorical", a probability for each level (the paper's); a "mixture" of discretized logistics; "auto" takes the mixture
            for more than 32 levels. Two levels are bits.
        components: logistics of a mixture.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says.

    Example::

        >>> pixel_rnn((1, 8, 8), levels=2, width=4, depth=1).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> PixelRNN:
        return PixelRNN(shape, params, variant=variant, width=width, depth=depth, kernel=kernel, context=context, in_turn=in_turn)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
