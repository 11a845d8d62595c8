"""WaveNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow
from ..distributions import Causal
from ..likelihoods import Likelihood, Normal
from ..nets import WaveNet
from .pixels import spread
from .recipe import recipe
from .sounds import amplitudes, finest, signal


@recipe
def wavenet(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 32,
    depth: int = 8,
    cycles: int = 2,
    skip: int = 64,
    level: Literal["auto", "categorical", "mixture", "normal"] = "auto",
    components: int = 10,
    context: int = 0,
) -> Flow:
    """WaveNet: each sample of a sound given those before it, by dilated causal convolutions (van den Oord et al., 2016, arXiv:1609.03499).

    ``p(x) = prod_t p(x_t | x_{<t})``. Signals of whole numbers ``(B, C, T)``; ``log_prob`` is the exact log probability, in one pass, or
    with ``level=normal`` a lower bound of it; a sound takes a step for each sample, with the arithmetic of one pass in all.

    Caveats: a sample reads the ``2 + cycles (2^depth - 1)`` before it, and silence before the first. There is no latent.

    Reference: WaveNet: A Generative Model for Raw Audio, van den Oord et al., 2016, arXiv:1609.03499; the mixture as in Parallel WaveNet,
    2017, arXiv:1711.10433; the normal as in ClariNet, Ping, Peng, Chen, 2018, arXiv:1807.07281. Departures: those of the net,
    :class:`~pushforward.nets.WaveNet`.

    Arguments:
        shape: of a signal, ``(C, T)``.
        levels: samples are whole numbers ``0..levels-1``.
        width: channels of the net.
        depth: layers of a cycle, with dilations 1, 2, 4, ... (10 in the paper).
        cycles: how often they are repeated (3 in the paper).
        skip: channels of what the layers hand on together.
        level: "categorical", a probability for each level (the paper's); a "mixture" of discretized logistics; "normal", of the
            dequantized amplitude; "auto" takes the mixture for more than 256 levels. Two levels are bits, unless they are normal. A
            faster student can be distilled of a mixture or a normal.
        components: logistics of a mixture.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no signal's; an option is not of the kind that its annotation says.

    Example::

        >>> wavenet((1, 100), levels=16, width=8, depth=4, skip=8).log_prob(torch.zeros(2, 1, 100)).shape
        torch.Size([2])
    """
    channels = signal(shape)
    likelihood: Likelihood
    if level == "normal":
        likelihood, in_turn = Normal(finest(levels)), channels > 1
    else:
        likelihood, in_turn = spread(channels, levels, level, components, few=256)
    net = WaveNet(shape, likelihood.params, width=width, depth=depth, cycles=cycles, skip=skip, context=context, in_turn=in_turn)
    layers = amplitudes(levels) if level == "normal" else []
    return Flow(Causal(likelihood, net, shape, context), *layers, context=context)
