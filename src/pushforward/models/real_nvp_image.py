"""RealNVP for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ..core import Flow, Inverse, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..nets import Patches, ResNet
from ..transforms import ActNorm, Coupling, Squeeze, checkerboard, half_channels, half_plane
from ..univariate import Affine
from .images import image, most_scales, multiscale, pixels
from .recipe import recipe


@recipe
def real_nvp_image(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    partition: Literal["multiscale", "good", "bad"] = "multiscale",
    width: int = 32,
    depth: int = 2,
    patch: int = 1,
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """RealNVP for images: affine couplings over checkerboards and channels at several scales (Dinh et al., 2016, arXiv:1605.08803).

    ``z_b = x_b exp(s(x_a)) + t(x_a)``: at each scale three couplings over checkerboards and, after a squeeze by 2, three over channels,
    whereupon half of the channels leave. Images of whole numbers ``(B, C, H, W)``, dequantized uniformly: ``log_prob`` is a lower
    bound. Density and samples take one pass.

    Caveats: nets over checkerboards read every pixel and cost most; ``patch=2`` makes them a fourth.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803. Departures: ActNorm
    (arXiv:1807.03039) where the paper has batch norm, and log-scales within +-5.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: each of half the side of the one before; as many as the sides allow, at most 3, if None.
        partition: "multiscale", or for one scale "good" (checkerboard x4, channels x3, checkerboard x3) or "bad" (the halves of the
            image, top, bottom, left, right, x2).
        width: channels of the residual nets, twice as many at each scale (32 or 64 in the paper).
        depth: their blocks (2 to 8 in the paper).
        patch: the side of the patches that nets over checkerboards see as one site (1 in the paper).
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full", "constant" (activations are found again by inversion) or "checkpoint".
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> real_nvp_image((1, 8, 8), levels=16, width=4, depth=1).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape)
    whole = image(shape, 2**scales if partition == "multiscale" else 2)
    univariate = Affine()

    def net(inputs: int, outputs: int, channels: int) -> ResNet:
        """For a scale whose images have so many channels before the squeeze."""
        return ResNet(inputs, outputs, width=width * channels // whole[0], depth=depth)

    def over_space(masks: Sequence[Tensor], channels: int) -> list[Transform]:
        layers: list[Transform] = []
        for mask in masks:
            inner = net((channels + context) * patch**2, 2 * channels * patch**2, channels)
            layers += [ActNorm(channels), Coupling(mask, univariate, inner if patch == 1 else Patches(inner, patch))]
        return layers

    def boards(count: int, *shape: int) -> list[Transform]:
        return over_space([checkerboard(shape, odd=i % 2 == 1) for i in range(count)], shape[0])

    def over_channels(scale: int, channels: int) -> list[Transform]:
        layers: list[Transform] = []
        for i in range(3):
            mask = half_channels(channels, odd=i % 2 == 1)
            kept = int(mask.sum())
            layers += [ActNorm(channels), Coupling(mask, univariate, net(kept + context, 2 * (channels - kept), channels // 4))]
        return layers

    def prior(inputs: int, outputs: int) -> nn.Module:
        return net(inputs + context, outputs, inputs // 2)

    if partition == "multiscale":
        layers = multiscale(whole, scales, over_channels, prior, memory=memory, fine=lambda *shape: boards(3, *shape))
    elif partition == "good":
        layers = [*boards(4, *whole), Squeeze(), *over_channels(0, 4 * whole[0]), Inverse(Squeeze()), *boards(3, *whole)]
    else:
        masks = [half_plane(whole, axis, odd) for axis in ("height", "width") for odd in (False, True)]
        layers = over_space(2 * masks, whole[0])
    return Flow(Normal(shape), *pixels(levels, alpha), *layers, context=context, memory=memory)
