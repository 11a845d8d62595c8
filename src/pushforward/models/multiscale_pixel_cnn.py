"""Multiscale PixelCNN."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Causal, Multiscale
from ..nets import MaskedConvNet, ResNet
from .images import image, most_scales
from .pixels import Level, spread
from .recipe import recipe


@recipe
def multiscale_pixel_cnn(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    width: int = 48,
    depth: int = 4,
    coarse_width: int = 64,
    coarse_depth: int = 6,
    pixel: Level = "auto",
    components: int = 5,
    context: int = 0,
) -> Flow:
    """Multiscale PixelCNN: coarse pixels one by one, all finer ones in a few steps (Reed et al., 2017, arXiv:1703.03664).

    A PixelCNN of every ``2^scales``-th pixel, then doublings of the sides, each of which finds three quarters of its pixels in three steps.
    Images of whole numbers ``(B, C, H, W)``; ``log_prob`` is the exact log probability, in one pass; a sample takes a step for each
    coarse pixel and three for each doubling.

    Caveats: the pixels of a step are independent given those before, which costs nats. There is no latent.

    Reference: Parallel Multiscale Autoregressive Density Estimation, Reed et al., 2017, arXiv:1703.03664. Departures: of
    :class:`~pushforward.distributions.Multiscale`.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: doublings; as many as the sides allow, at most 3, if None.
        width: channels of the nets of the steps.
        depth: their residual blocks.
        coarse_width: channels of the coarse PixelCNN.
        coarse_depth: its residual blocks.
        pixel: "categorical", a probability for each level; a "mixture" of discretized logistics; "auto" takes the mixture for more than
            32 levels. Two levels are bits.
        components: logistics of a mixture.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation says.

    Example::

        >>> multiscale_pixel_cnn((1, 8, 8), levels=2, width=8, depth=1, coarse_width=8).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape)
    channels, height, across = image(shape, 2**scales)
    likelihood, in_turn = spread(channels, levels, pixel, components)
    small = (channels, height >> scales, across >> scales)
    net = MaskedConvNet(small, likelihood.params, width=coarse_width, depth=coarse_depth, context=context, in_turn=in_turn)
    coarse = Causal(likelihood, net, small, context)
    base = Multiscale(coarse, lambda inputs, outputs: ResNet(inputs, outputs, width=width, depth=depth), scales, in_turn=in_turn)
    return Flow(base, context=context)
