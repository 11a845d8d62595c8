"""PixelSNAIL."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import SnailNet
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def pixel_snail(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 64,
    depth: int = 2,
    convs: int = 2,
    key: int = 16,
    pixel: Level = "auto",
    components: int = 5,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    """PixelSNAIL: each pixel given all before it, by shifted convolutions and attention (Chen et al., 2017, arXiv:1712.09763).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass; a sample takes a step for each pixel, with the arithmetic of one pass in all. Weights start from the
    first batch of training.

    Caveats: attention costs a product for each pair of pixels; memory is linear in pixels where the kernel of attention is fused. There
    is no latent.

    Reference: PixelSNAIL: An Improved Autoregressive Generative Model, Chen, Mishra, Rohaninejad, Abbeel, 2017, arXiv:1712.09763.
    Departures: of :class:`~pushforward.nets.SnailNet` and :class:`~pushforward.likelihoods.DiscretizedLogisticMixture`.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: channels of the net (256 in the paper).
        depth: blocks of convolutions and attention (12 in the paper).
        convs: gated blocks of convolutions in each (4 in the paper).
        key: numbers of a key (16 in the paper); a value has half the width.
        pixel: "categorical", a probability for each level; a "mixture" of discretized logistics (the paper's); "auto" takes the mixture
            for more than 32 levels. Two levels are bits.
        components: logistics of a mixture (10 in the paper for CIFAR-10, 32 for ImageNet).
        dropout: share of a gated block's hidden numbers left out in training (0.5 in the paper).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's; an option is not of the kind that its annotation says.

    Example::

        >>> pixel_snail((1, 8, 8), levels=2, width=8, depth=1).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> SnailNet:
        options = {"width": width, "depth": depth, "convs": convs, "key": key}
        return SnailNet(shape, params, dropout=dropout, context=context, in_turn=in_turn, **options)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
