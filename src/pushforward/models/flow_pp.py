"""Flow++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Transform
from ..core.memory import Memory
from ..distributions import Normal
from ..nets import GatedConvNet
from ..transforms import ActNorm, Conv1x1, Coupling, half_channels
from ..univariate import Affine, Compose, MixtureQuantile, RationalQuadratic, Univariate
from .dequantizer import dequantizer
from .images import board, image, multiscale, pixels
from .recipe import recipe


@recipe
def flow_pp(
    shape: Sequence[int],
    *,
    levels: int = 256,
    dequantization: Literal["variational", "logit_normal", "uniform"] = "variational",
    coupling: Literal["mixture", "spline", "affine"] = "mixture",
    attention: bool = True,
    boards: tuple[int, ...] = (2, 2),
    mixes: tuple[int, ...] = (1, 1),
    leave: bool = True,
    width: int = 48,
    depth: int = 1,
    components: int = 4,
    heads: int = 4,
    dropout: float = 0.0,
    noise_width: int = 16,
    noise_depth: int = 1,
    alpha: float = 0.05,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """Flow++: logistic-mixture couplings with attention, and variational dequantization (Ho et al., 2019, arXiv:1902.00275).

    ``z_b = exp(s) logit(sum_k pi_k sigmoid((x_b - mu_k) / s_k)) + t`` with all parameters from a net of ``x_a`` that convolves and
    attends; over checkerboards, and over channels behind a 1x1 convolution. Each part can be switched as in the paper's ablations.
    Images of whole numbers ``(B, C, H, W)``, dequantized by a flow that reads the image: ``log_prob`` is a lower bound. Density in one
    pass; samples in one pass with a numerical inverse of the scalar maps.

    Caveats: sizes by default are for a CPU (the paper: width 96, depth 10, 32 components). With dropout the two directions disagree
    until ``eval()``.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, Ho, Chen,
    Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275. Departures: all nets work on the image squeezed by 2, where a checkerboard is a
    choice of channels, a quarter of the sites; and ``leave``.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        dequantization: "variational" by a flow, "logit_normal", or "uniform".
        coupling: "mixture" of logistics with an affine map behind, "spline" of as many bins, or "affine".
        attention: whether nets read far sites.
        boards: couplings over checkerboards, one number for each scale (4, 3 in the paper).
        mixes: couplings over channels after them, likewise (2, 0 in the paper).
        leave: half of the channels leave after each scale but the last (not in the paper; faster).
        width: channels of the nets.
        depth: their blocks.
        components: logistics of each mixture.
        heads: of attention; they divide the width.
        dropout: of the nets (0.2 in the paper for CIFAR-10).
        noise_width: channels of the nets of the noise.
        noise_depth: their blocks.
        alpha: pixels go through ``logit(alpha + (1 - 2 alpha) x / levels)``; only 0 covers the line, photographs learn faster with
            0.05.
        memory: what is kept for the gradient, "full", "constant" (activations are found again by inversion) or "checkpoint".
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> flow_pp((1, 4, 4), levels=4, boards=(1,), mixes=(1,), width=8, components=2).log_prob(torch.zeros(2, 1, 4, 4)).shape
        torch.Size([2])
    """
    if len(boards) != len(mixes) or not boards:
        raise ValueError(f"flow_pp: expected one number of boards and of mixes for each scale, got {list(boards)} and {list(mixes)}")
    whole = image(shape, 2 ** len(boards))
    maps: dict[str, Univariate] = {
        "mixture": Compose(MixtureQuantile(components, "logistic"), Affine()),
        "spline": Compose(RationalQuadratic(components, 8.0), Affine()),
        "affine": Affine(),
    }
    univariate = maps[coupling]

    def couple(mask: Sequence[bool], channels: int) -> list[Transform]:
        kept = sum(mask)
        inputs, outputs = kept + context, univariate.params * (channels - kept)
        net = GatedConvNet(inputs, outputs, width=width, depth=depth, heads=heads, attention=attention, dropout=dropout)
        return [ActNorm(channels), Coupling(mask, univariate, net)]

    def coarse(scale: int, channels: int) -> list[Transform]:
        layers = [layer for i in range(boards[scale]) for layer in couple(board(channels, odd=i % 2 == 1), channels)]
        for _ in range(mixes[scale]):
            layers += [Conv1x1(channels), *couple(half_channels(channels).tolist(), channels)]
        return layers

    def fine(channels: int, height: int, width: int) -> list[Transform]:
        """Colours are mixed before checkerboards, which change all colours of a pixel at once."""
        return [ActNorm(channels), Conv1x1(channels)] if channels > 1 else []

    def prior(inputs: int, outputs: int) -> GatedConvNet:
        return GatedConvNet(inputs + context, outputs, width=width, depth=1, heads=heads, attention=False)

    noise = None
    if dequantization != "uniform":
        kind: Literal["flow", "logit_normal"] = "flow" if dequantization == "variational" else "logit_normal"
        few = components if coupling == "mixture" else 0
        noise = dequantizer(whole, kind=kind, width=noise_width, depth=noise_depth, components=few, attention=attention, context=context)
    layers = multiscale(whole, len(boards), coarse, prior if leave else None, memory=memory, fine=fine)
    return Flow(Normal(shape), *pixels(levels, alpha, noise), *layers, context=context, memory=memory)
