"""WaveNet."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Causal
from ..nets import WaveNet
from .pixels import Level, spread
from .recipe import recipe


@recipe
def wavenet(
    shape: Sequence[int],
    *,
    levels: int = 256,
    width: int = 32,
    depth: int = 8,
    cycles: int = 2,
    skip: int = 64,
    level: Level = "auto",
    components: int = 10,
    context: int = 0,
) -> Flow:
    """WaveNet: each sample of a sound given those before it, by dilated causal convolutions (van den Oord et al., 2016, arXiv:1609.03499).

    ``p(x) = prod_t p(x_t | x_{<t})``. Signals of whole numbers ``(B, C, T)``; ``log_prob`` is the exact log probability, in one pass; a
    sound takes a step for each sample, with the arithmetic of one pass in all.

    Caveats: a sample reads the ``2 + cycles (2^depth - 1)`` before it, and silence before the first. There is no latent.

    Reference: WaveNet: A Generative Model for Raw Audio, van den Oord et al., 2016, arXiv:1609.03499; the mixture as in Parallel WaveNet,
    2017, arXiv:1711.10433. Departures: of :class:`~pushforward.nets.WaveNet`.

    Arguments:
        shape: of a signal, ``(C, T)``.
        levels: samples are whole numbers ``0..levels-1``.
        width: channels of the net.
        depth: layers of a cycle, with dilations 1, 2, 4, ... (10 in the paper).
        cycles: how often they are repeated (3 in the paper).
        skip: channels of what the layers hand on together.
        level: "categorical", a probability for each level (the paper's); a "mixture" of discretized logistics; "auto" takes the mixture
            for more than 256 levels. Two levels are bits.
        components: logistics of a mixture.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no signal's; an option is not of the kind that its annotation says.

    Example::

        >>> wavenet((1, 100), levels=16, width=8, depth=4, skip=8).log_prob(torch.zeros(2, 1, 100)).shape
        torch.Size([2])
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"this model takes signals, shape (C, T), got {tuple(shape)}; images and tables have models of their own")
    likelihood, in_turn = spread(shape[0], levels, level, components, few=256)
    net = WaveNet(shape, likelihood.params, width=width, depth=depth, cycles=cycles, skip=skip, context=context, in_turn=in_turn)
    return Flow(Causal(likelihood, net, shape, context), context=context)
