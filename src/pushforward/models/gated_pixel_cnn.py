"""Gated PixelCNN."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import GatedMaskedConvNet
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def gated_pixel_cnn(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 32,
    depth: int = 6,
    kernel: int = 7,
    block_kernel: int = 3,
    pixel: Level = "auto",
    components: int = 5,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    """Gated PixelCNN: each pixel given all above and to the left, by two stacks of gated convolutions (2016, arXiv:1606.05328).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass; a sample takes a step for each pixel, with the arithmetic of one pass in all.

    Caveats: twice the work of ``pixel_cnn`` at the same width and depth. There is no latent.

    Reference: Conditional Image Generation with PixelCNN Decoders, van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu,
    2016, arXiv:1606.05328. Departures: of :class:`~pushforward.nets.GatedMaskedConvNet`, and a mixture of logistics where there are
    many levels.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: channels of each stack (384 in the paper, for ImageNet).
        depth: layers after the first (19 in the paper, for ImageNet).
        kernel: the side of the first layer's convolution.
        block_kernel: the side of the others' (5 in the paper, for ImageNet).
        pixel: "categorical", a probability for each level (the paper's); a "mixture" of discretized logistics; "auto" takes the mixture
            for more than 32 levels. Two levels are bits.
        components: logistics of a mixture.
        dropout: share of the horizontal stack's gated channels left out in training.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says; a side that is even.

    Example::

        >>> gated_pixel_cnn((1, 8, 8), levels=2, width=8, depth=1).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    sides = {"kernel": kernel, "block_kernel": block_kernel}

    def net(params: int, in_turn: bool) -> GatedMaskedConvNet:
        return GatedMaskedConvNet(shape, params, width=width, depth=depth, dropout=dropout, context=context, in_turn=in_turn, **sides)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
