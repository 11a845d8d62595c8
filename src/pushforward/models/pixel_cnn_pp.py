"""PixelCNN++."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets import ShiftedConvNet
from .pixels import Level, causal_image
from .recipe import recipe


@recipe
def pixel_cnn_pp(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 32,
    depth: int = 1,
    scales: int | None = None,
    pixel: Level = "auto",
    components: int = 5,
    dropout: float = 0.0,
    context: int = 0,
) -> Flow:
    """PixelCNN++: each pixel given all before it, by shifted convolutions at three resolutions (Salimans et al., 2017, arXiv:1701.05517).

    ``p(x) = prod_i p(x_i | x_{<i})``, row by row from the top left. Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact
    log probability, in one pass; a sample takes a step for each pixel, with the arithmetic of one pass in all. Weights start from the
    first batch of training.

    Caveats: there is no latent. Dropout matters where images are few or the net is large.

    Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications, Salimans,
    Karpathy, Chen, Kingma, 2017, arXiv:1701.05517. Departures: of :class:`~pushforward.nets.ShiftedConvNet` and
    :class:`~pushforward.likelihoods.DiscretizedLogisticMixture`.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        width: channels of each stream (160 in the paper).
        depth: its gated blocks at each resolution (5 in the paper).
        scales: resolutions, each half of the one before (3 in the paper); default up to 3, as the sides can be halved.
        pixel: "categorical", a probability for each level; a "mixture" of discretized logistics (the paper's); "auto" takes the mixture
            for more than 32 levels. Two levels are bits.
        components: logistics of a mixture (10 in the paper).
        dropout: share of a block's hidden numbers left out in training (0.5 in the paper).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> pixel_cnn_pp((3, 8, 8), width=8).log_prob(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2])
    """

    def net(params: int, in_turn: bool) -> ShiftedConvNet:
        return ShiftedConvNet(shape, params, width=width, depth=depth, scales=scales, dropout=dropout, context=context, in_turn=in_turn)

    return causal_image(shape, net, levels=levels, pixel=pixel, components=components, context=context)
