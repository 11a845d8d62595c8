"""Glow: ActNorm, invertible 1x1 convolutions and couplings at several scales (Kingma, Dhariwal, 2018, arXiv:1807.03039)."""

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
    """Images of whole numbers ``0..levels-1``, dequantized uniformly; samples take one pass.

    Arguments: ``scales``, each of half the side of the one before (as many as the sides allow, at most 3), of ``steps`` steps with nets of
    ``width`` channels (32 and 512 in the paper); ``coupling`` by shift and scale or by shift alone, log-scales within ``bound`` (the
    paper's are negative: with 5 the loss can jump by orders of magnitude early on); ``mixing`` of the channels by a free matrix, one
    held as PLU or as QR, or one beside a convolution of side 3 (emerging and periodic: arXiv:1901.11137); ``alpha`` of the logit (the
    paper has none, but the linear map ``x / 256 - 1/2``); ``memory`` of activations: "constant" computes them again from outputs;
    ``context`` numbers to condition on.
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
