"""The Image Transformer."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import ImageTransformer
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def image_transformer(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    block: int = 0,
    memory: int = 0,
    pixel: Level = "auto",
    components: int = 5,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    """Image Transformer: each pixel given those before it, by attention in blocks (Parmar et al., 2018, arXiv:1802.05751).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass; a sample takes a step for each pixel, with the arithmetic of one pass in all.

    Caveats: it has to learn what is near, which convolutions know, and needs many images and steps. There is no latent.

    Reference: Image Transformer, Parmar, Vaswani, Uszkoreit, Kaiser, Shazeer, Ku, Tran, 2018, arXiv:1802.05751. Departures: of
    :class:`~pushforward.nets.ImageTransformer` and :class:`~pushforward.likelihoods.DiscretizedLogisticMixture`.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: numbers per token (512 in the paper).
        depth: blocks of attention and net (12 in the paper).
        heads: parts of a token that attend separately (4 in the paper); they divide the width.
        block: pixels that ask together, 0 for all (256 in the paper, each channel counted).
        memory: pixels before a block that it reads as well (256 in its code, likewise).
        pixel: "categorical", a probability for each level; a "mixture" of discretized logistics (both in the paper); "auto" takes the
            mixture for more than 32 levels. Two levels are bits.
        components: logistics of a mixture (10 in the paper).
        dropout: share of what a part adds that is left out in training.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or heads that do not divide the width; an option is not of the kind that its annotation says.

    Example::

        >>> image_transformer((1, 8, 8), levels=2, width=8, heads=2).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> ImageTransformer:
        sizes = {"width": width, "depth": depth, "heads": heads, "block": block, "memory": memory}
        return ImageTransformer(shape, params, dropout=dropout, context=context, in_turn=in_turn, **sizes)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
