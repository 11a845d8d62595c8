"""MintNet for images."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..transforms import ActNorm, Mint
from .images import image, most_scales, multiscale, pixels
from .recipe import recipe


@recipe
def mintnet_image(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    steps: int = 3,
    width: int = 8,
    kernel: int = 3,
    floor: float = 0.01,
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """MintNet: masked convolutions with triangular Jacobians, at several scales (Song, Meng, Ermon, 2019, arXiv:1907.07945).

    At each scale ``steps`` pairs of layers ``z = t x + W_3 elu(W_2 elu(W_1 x))``, whose convolutions read the numbers before, and then
    those after; between scales the image is squeezed by 2, with a fourth of the hidden units for each of four times the channels.
    Nothing leaves early. Images of whole numbers ``(B, C, H, W)``, dequantized uniformly: ``log_prob`` is a lower bound. Density in one
    pass; samples by sweeps of a pass and scalar inverses: some tens a layer, C H W of them at most.

    Caveats: samples take many passes, and their gradients one more for each number of an image.

    Reference: MintNet: Building Invertible Neural Networks with Masked Convolutions, Song, Meng, Ermon, 2019, arXiv:1907.07945.
    Departures: those of the layer, and ActNorm before each pair of layers. Sizes by default are for a CPU.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: times that the image is squeezed; as many as the sides allow, at most 2, if None.
        steps: pairs of layers before each squeeze and after the last (7 in the paper).
        width: hidden units of each number at first (45 or 85 in the paper), a fourth after each squeeze.
        kernel: the side of the convolutions.
        floor: the least slope of a layer, in (0, 1).
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full" or "checkpoint" ("constant" inverts layers, which is dear here).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> mintnet_image((1, 8, 8), levels=16, steps=1, width=4).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape, 2)
    whole = image(shape, 2**scales)

    def pairs(*shape: int) -> list[Transform]:
        narrow = max(1, width * whole[0] // shape[0])  # 4, then 16 times the channels share the units
        layers: list[Transform] = []
        for _ in range(steps):
            orders = [Mint(shape, width=narrow, kernel=kernel, reverse=r, context=context, floor=floor) for r in (False, True)]
            layers += [ActNorm(shape[0]), *orders]
        return layers

    def coarse(scale: int, channels: int) -> list[Transform]:
        sides = [side // 2 ** (scale + 1) for side in whole[1:]]
        return pairs(channels, *sides) if scale + 1 == scales else []

    layers = multiscale(whole, scales, coarse, None, memory=memory, fine=pairs)
    return Flow(Normal(shape), *pixels(levels, alpha), *layers, context=context, memory=memory)
