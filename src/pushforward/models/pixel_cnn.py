"""PixelCNN."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import MaskedConvNet
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def pixel_cnn(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 64,
    depth: int = 8,
    kernel: int = 7,
    pixel: Level = "auto",
    components: int = 5,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    """PixelCNN: each pixel given those above and to the left, by masked convolutions (van den Oord et al., 2016, arXiv:1601.06759).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass; a sample takes a step for each pixel, with the arithmetic of one pass in all.

    Caveats: part of what is above to the right is never read (a blind spot, which ``gated_pixel_cnn`` has not). There is no latent.

    Reference: Level Recurrent Neural Networks, van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759. Departures: of
    :class:`~pushforward.nets.MaskedConvNet`, and a mixture of logistics where there are many levels.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: channels of the net (256 in the paper).
        depth: its residual blocks (15 in the paper).
        kernel: the side of the first convolution (7 in the paper).
        pixel: "categorical", a probability for each level (the paper's); a "mixture" of discretized logistics; "auto" takes the mixture
            for more than 32 levels. Two levels are bits.
        components: logistics of a mixture.
        dropout: share of channels left out in training.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says.

    Example::

        >>> pixel_cnn((1, 8, 8), levels=2, width=8, depth=1).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> MaskedConvNet:
        return MaskedConvNet(shape, params, width=width, depth=depth, kernel=kernel, dropout=dropout, context=context, in_turn=in_turn)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
