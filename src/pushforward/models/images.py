"""What the recipes of images share: pixels to numbers, and the scales of a multi-scale model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from ..core import Chain, Distribution, Inverse, Transform
from ..core.memory import Memory
from ..transforms import Coupling, Dequantize, Elementwise, Factor, Squeeze, Standardize
from ..univariate import Affine, Logit

Net = Callable[[int, int], nn.Module]  # channels that enter and that leave -> a net of images


def image(shape: Sequence[int], divisor: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of an image event whose sides are multiples of ``divisor``."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"this model takes images, shape (C, H, W), got {tuple(shape)}; tables have models of their own (list models)")
    channels, height, width = shape
    if height % divisor or width % divisor:
        raise ValueError(
            f"this model takes images whose sides are multiples of {divisor}, got {height} x {width}; use fewer scales or resize"
        )
    return channels, height, width


def most_scales(shape: Sequence[int], most: int = 3) -> int:
    """How often the sides of an image can be halved, at most so many times and at least once."""
    return max([n for n in range(1, most + 1) if len(shape) == 3 and not (shape[1] % 2**n or shape[2] % 2**n)], default=1)


def pixels(levels: int, alpha: float, noise: Distribution | None = None) -> list[Transform]:
    r"""Whole numbers ``0..levels-1`` to the line: dequantized, then ``logit(alpha + (1 - 2 alpha) x / levels)``.

    ``alpha`` keeps the steep ends of the logit out of use: with 0.05 (RealNVP) it is almost linear over the pixels. Only ``alpha=0``
    covers the line, so that the probabilities of all images sum to 1; otherwise the likelihood is too low by what the model puts
    beyond the ends. Drawings that are black or white in most places learn much faster with ``alpha=0``, which gives an end as much
    room as all the rest; photographs much slower.
    """
    if not 0 <= alpha < 0.5:
        raise ValueError(f"pixels: alpha must be in [0, 0.5), got {alpha}")
    share = 1 - 2 * alpha
    return [Dequantize(levels, noise), Standardize(-alpha * levels / share, levels / share), Elementwise(Logit(), (1, 1, 1))]


def multiscale(
    shape: Sequence[int],
    scales: int,
    coarse: Callable[[int, int], list[Transform]],
    prior: Net | None,
    *,
    memory: Memory,
    fine: Callable[[int, int, int], list[Transform]] | None = None,
) -> list[Transform]:
    """At each scale the layers ``fine(C, H, W)``, a squeeze and ``coarse(scale, C)``; then half of the channels leave, the others go on.

    What leaves is scaled and shifted by what the net ``prior`` says of the channels that stay; without one they all go on. z comes
    back in the shape of the image.
    """

    def build(scale: int, channels: int, height: int, width: int) -> list[Transform]:
        layers = fine(channels, height, width) if fine else []
        channels, height, width = 4 * channels, height // 2, width // 2
        layers = [*layers, Squeeze(), *coarse(scale, channels)]
        if scale + 1 < scales:
            kept = channels if prior is None else channels // 2
            rest = build(scale + 1, kept, height, width)
            if prior is not None:
                left = Coupling([False] * (channels - kept), Affine(), prior(kept, 2 * (channels - kept)))
                rest = [Factor(kept, left, Chain(*rest, memory=memory))]
            layers += rest
        return [*layers, Inverse(Squeeze())]

    return build(0, *shape)


def board(channels: int, odd: bool = False) -> list[bool]:
    """A checkerboard of an image squeezed by 2, as a choice of its channels: true for the even sites (``odd``: the others)."""
    return [(i % 4 in (0, 3)) != odd for i in range(channels)]
