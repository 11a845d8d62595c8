"""Flow++: logistic-mixture couplings with attention, and variational dequantization (Ho et al., 2019, arXiv:1902.00275)."""

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
    """Images of whole numbers ``0..levels-1``; each part can be switched as in the paper's ablations.

    All nets work on the image squeezed by 2, where a checkerboard is a choice of channels: a quarter of the sites of the paper's.

    Arguments: ``dequantization``, by a flow that reads the image, by logit-normal noise, or uniform; ``coupling`` by mixtures of
    ``components`` logistics (32 in the paper) with an affine map behind, by splines of as many bins, or affine; ``attention`` in the
    nets; for each scale ``boards`` couplings over checkerboards, then ``mixes`` over channels behind a 1x1 convolution (4, 3 and 2, 0
    in the paper); ``leave`` lets half of the channels leave after each scale but the last (not in the paper; faster); nets of ``depth``
    blocks of ``width`` channels (10 and 96) with ``heads`` and ``dropout`` (0.2 for CIFAR-10); ``noise_width``, ``noise_depth`` of the
    nets of the noise; ``alpha`` of the logit (0.05); ``memory`` of activations; ``context`` numbers to condition on.
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
    layers = multiscale(whole, len(boards), coarse, prior, memory=memory, leave=leave, fine=fine)
    return Flow(Normal(shape), *pixels(levels, alpha, noise), *layers, context=context, memory=memory)
