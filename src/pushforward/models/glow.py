"""Glow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from torch import nn

from ..core import Flow, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..nets import ConvNet
from ..nets.conv2d import conv2d
from ..transforms import ActNorm, Conv1x1, Coupling, EmergingConv, LULinear, PeriodicConv, Permute, QRLinear, half_channels
from ..univariate import Additive, Affine
from .images import image, most_scales, multiscale, pixels
from .recipe import recipe


@recipe
def glow(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    steps: int = 8,
    width: int = 96,
    coupling: Literal["affine", "additive"] = "affine",
    bound: float = 2.0,
    mixing: Literal["plain", "plu", "qr", "emerging", "periodic"] = "plain",
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """Glow: ActNorm, invertible 1x1 convolutions and couplings at several scales (Kingma, Dhariwal, 2018, arXiv:1807.03039).

    Each scale squeezes the image by 2, then ``steps`` times ``z_b = (W x)_b exp(s) + t`` with s and t from a net of ``(W x)_a``; then
    half of the channels leave. Images of whole numbers ``(B, C, H, W)``, dequantized uniformly: ``log_prob`` is a lower bound. Density
    and samples take one pass.

    Caveats: with ``bound=5`` the loss can jump by orders of magnitude early on. Sizes by default are for a CPU (the paper: depth 32,
    width 512).

    References: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma, Dhariwal, 2018, arXiv:1807.03039; emerging and periodic
    convolutions: Hoogeboom, van den Berg, Welling, 2019, arXiv:1901.11137. Departures: the logit before the flow (the paper has ``x /
    256 - 1/2``), and log-scales around 0 (the paper's are negative).

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: each of half the side of the one before; as many as the sides allow, at most 3, if None.
        steps: of each scale (32 in the paper).
        width: hidden channels of the nets (512 in the paper).
        coupling: "affine", or "additive" without a scale.
        bound: of the log-scales.
        mixing: of the channels, by a "plain" matrix, one held as "plu" or "qr", or one beside a convolution of side 3 ("emerging",
            "periodic").
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full", "constant" (activations are found again by inversion) or "checkpoint".
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> glow((1, 8, 8), levels=16, steps=1, width=8).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape)
    whole = image(shape, 2**scales)
    univariate = Affine(bound) if coupling == "affine" else Additive()

    def net(inputs: int, outputs: int) -> ConvNet:
        return ConvNet(inputs + context, outputs, width=width)

    def coarse(scale: int, channels: int) -> list[Transform]:
        layers: list[Transform] = []
        for step in range(steps):
            mask = half_channels(channels)
            changed = channels - channels // 2
            layers += [ActNorm(channels), *mixed(channels, mixing, step)]
            layers.append(Coupling(mask, univariate, net(channels // 2, univariate.params * changed)))
        return layers

    def prior(inputs: int, outputs: int) -> nn.Module:
        return conv2d(inputs + context, outputs, gain=0.0)

    layers = multiscale(whole, scales, coarse, prior, memory=memory)
    return Flow(Normal(shape), *pixels(levels, alpha), *layers, context=context, memory=memory)


def mixed(channels: int, mixing: str, step: int) -> list[Transform]:
    """Layers that mix the channels; those that start as the identity come after a permutation."""
    order = list(range(channels))
    random.Random(step).shuffle(order)
    if mixing == "plu":
        return [Permute(order), LULinear(channels)]
    if mixing == "qr":
        return [Permute(order), QRLinear(channels)]
    convolutions: dict[str, list[Transform]] = {"emerging": [EmergingConv(channels)], "periodic": [PeriodicConv(channels)]}
    return [Conv1x1(channels), *convolutions.get(mixing, [])]
