"""The inverse autoregressive flow of sounds: Parallel WaveNet's student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Inverse
from ..distributions import Logistic, Normal
from ..nets import WaveNet
from ..transforms import ActNorm, Autoregressive
from ..univariate import Affine
from .recipe import recipe
from .sounds import amplitudes, signal


@recipe
def parallel_wavenet(
    shape: Sequence[int],
    *,
    levels: int = 256,
    steps: int = 4,
    width: int = 32,
    depth: int = 8,
    cycles: int = 1,
    noise: Literal["normal", "logistic"] = "normal",
    context: int = 0,
) -> Flow:
    """Parallel WaveNet: sounds out of noise in a few passes, by WaveNets that read the noise (van den Oord et al., 2017, arXiv:1711.10433).

    Each layer makes of noise z the noise ``z_t exp(s(z_{<t})) + m(z_{<t})``, with s and m from a WaveNet; the last one's is the sound, in
    amplitudes within (-1, 1), and is rounded to levels. So ``x_t`` given the noise before has the law of the first noise, moved and scaled:
    what a teacher's ``p(x_t | x_{<t})`` is compared with (``distill``). Signals of whole numbers ``(B, C, T)``.

    Sampling takes ``steps`` passes. The log-likelihood of other sounds takes ``steps`` times T steps; of the levels it is a lower bound,
    by uniform dequantization.

    Caveats: maximum likelihood would go the slow way; to fit data take :func:`wavenet` and distil it.

    References: Parallel WaveNet: Fast High-Fidelity Speech Synthesis, van den Oord et al., 2017, arXiv:1711.10433; with normal noise,
    ClariNet, Ping, Peng, Chen, 2018, arXiv:1807.07281. Departures: scales within ``exp(+-5)``; a constant scale behind the layers, which
    starts at the data's deviation.

    Arguments:
        shape: of a signal, ``(C, T)``.
        levels: samples are whole numbers ``0..levels-1``.
        steps: layers, each with a net of its own.
        width: channels of each net.
        depth: layers of a cycle of each net, with dilations 1, 2, 4, ... (10 in the paper).
        cycles: how often they are repeated.
        noise: "normal" or "logistic"; a student's is that of its teacher.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no signal's; an option is not of the kind that its annotation says.

    Example::

        >>> parallel_wavenet((1, 100), levels=16, steps=2, width=8, depth=4).sample((2,)).shape
        torch.Size([2, 1, 100])
    """
    channels = signal(shape)
    layers = [
        Inverse(
            Autoregressive(
                Affine(), WaveNet(shape, Affine.params, width=width, depth=depth, cycles=cycles, context=context, in_turn=channels > 1)
            )
        )
        for _ in range(steps)
    ]
    base = Logistic(shape) if noise == "logistic" else Normal(shape)
    return Flow(base, *amplitudes(levels), ActNorm(channels), *layers, context=context)
