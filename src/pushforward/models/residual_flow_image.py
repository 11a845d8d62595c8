"""Residual Flow for images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core import Flow, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..nets import LipschitzConv, LipschitzMLP, LipschitzNet
from ..nets.lipschitz import SmoothUnits
from ..transforms import ActNorm, Reshape, Residual
from ..transforms.residual import LogDet
from .images import image, most_scales, multiscale, pixels
from .recipe import recipe


@recipe
def residual_flow_image(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    steps: int = 2,
    width: int = 32,
    kernels: tuple[int, ...] = (3, 1, 3),
    last_steps: int = 1,
    last_width: int = 64,
    coefficient: float = 0.98,
    units: SmoothUnits = "lipswish",
    dense: bool = False,
    log_det: LogDet = "poisson",
    terms: int = 2,
    tail: float = 2.0,
    probes: int = 1,
    exact_up_to: int = 64,
    tolerance: float = 1e-6,
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """Residual Flow for images: convolutional nets that are contractions, at several scales (Chen et al., 2019, arXiv:1906.02735).

    ``z = x + g(x)`` with ``|g(x) - g(y)| <= coefficient |x - y|`` and ActNorm in turn, ``steps`` times at each scale; between scales the
    image is squeezed by 2, and nothing leaves early. At the end come ``last_steps`` more with nets of all numbers at once. ``dense`` with
    ``units="clipswish"`` makes it an i-DenseNet. Images of whole numbers ``(B, C, H, W)``, dequantized uniformly: ``log_prob`` is a lower
    bound, in which log-determinants are estimates, by power series that end at random. Density in one pass, and a backward one for each
    term; samples by fixed-point iterations, some tens of passes.

    Caveats: losses are noisy; where the Jacobian's norm comes near 1 "poisson" tails have rare draws that outweigh others.

    References: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735; Invertible
    DenseNets with Concatenated LipSwish, Perugachi-Diaz, Tomczak, Bhulai, 2021, arXiv:2102.02694. Departures: those of the layer and its
    nets. Sizes by default are for a CPU.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: times that the image is squeezed; as many as the sides allow, at most 2, if None.
        steps: residual layers before each squeeze and after the last (16 in the paper).
        width: hidden channels of each net (512 in the paper).
        kernels: odd sides of its convolutions.
        last_steps: residual layers at the end, of fully connected nets of depth 2 (4 in the paper).
        last_width: their hidden units (128 in the paper).
        coefficient: bound of each net's Lipschitz constant, below 1.
        units: "lipswish", "clipswish" or "sine".
        dense: hidden layers of the convolutional nets hand on what entered, too.
        log_det: in training, "geometric", "poisson", "truncated" or "exact".
        terms: of the series in training that are always taken.
        tail: mean number of random terms beyond.
        probes: random vectors for each trace.
        exact_up_to: dimensions up to which evaluation takes exact log-determinants.
        tolerance: of a layer's inverse, in Euclidean norm.
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full" or "checkpoint" ("constant" inverts layers, but none whose log-determinant is an
            estimate).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> residual_flow_image((1, 8, 8), levels=16, steps=1, width=4).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape, 2)
    whole = image(shape, 2**scales)

    def residual(net: LipschitzNet, *shape: int) -> list[Transform]:
        layer = Residual(net, shape, log_det=log_det, terms=terms, tail=tail, probes=probes, exact_up_to=exact_up_to, tolerance=tolerance)
        return [ActNorm(shape[0]), layer]

    def convolved(*shape: int) -> list[Transform]:
        layers: list[Transform] = []
        for _ in range(steps):
            net = LipschitzConv(shape, width=width, kernels=kernels, coefficient=coefficient, units=units, dense=dense, context=context)
            layers += residual(net, *shape)
        return layers

    def connected(*shape: int) -> list[Transform]:
        dim = math.prod(shape)
        layers: list[Transform] = []
        for _ in range(last_steps):
            net = LipschitzMLP(dim, width=last_width, depth=2, coefficient=coefficient, units=units, context=context)
            layers += residual(net, dim)
        return [Reshape(shape, (dim,)), *layers, ActNorm(dim), Reshape((dim,), shape)]

    def coarse(scale: int, channels: int) -> list[Transform]:
        small = channels, *(side // 2 ** (scale + 1) for side in whole[1:])
        if scale + 1 < scales:
            return []
        return [*convolved(*small), *(connected(*small) if last_steps else [ActNorm(channels)])]

    layers = multiscale(whole, scales, coarse, None, memory=memory, fine=convolved)
    return Flow(Normal(shape), *pixels(levels, alpha), *layers, context=context, memory=memory)
