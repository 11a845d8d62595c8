"""Integer discrete flows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from ..core import Distribution, Flow, Transform
from ..core.memory import Memory
from ..distributions import Free, Given, SplitPrior
from ..likelihoods import IntegerLogisticMixture
from ..nets import DenseNet
from ..transforms import IntegerCoupling, Permute, Squeeze
from .images import board, image, most_scales
from .recipe import recipe
from .sounds import finest


@recipe
def idf(
    shape: Sequence[int],
    *,
    levels: int = 256,
    scales: int | None = None,
    steps: int = 4,
    width: int = 48,
    depth: int = 3,
    components: int = 5,
    halve: bool = True,
    memory: Memory = "full",
    context: int = 0,
) -> Flow:
    """Integer discrete flow: additive couplings that round, on whole numbers throughout (Hoogeboom et al., 2019, arXiv:1905.07376).

    ``z_b = x_b + round(t(x_a))`` permutes the whole numbers, so that ``log P(x) = log P(z)``: no noise, no bound, and a lossless code of
    that length. Each scale squeezes the image by 2, then ``steps`` couplings each move one pixel of every 2 x 2 by a net that reads the
    other three; then half of the pixels leave, a mixture of discretized logistics given those that go on. Images of whole numbers
    ``(B, C, H, W)``; ``log_prob`` is the exact log probability, in one pass; a sample takes one pass.

    Caveats: the mass covers all whole numbers, so that a sample may lie outside of 0..levels-1; the command line cuts it off. Gradients
    go straight through the rounding, which is biased, and more so the more couplings there are. Latents are whole numbers: nothing lies
    between two of them.

    References: Integer Discrete Flows and Lossless Compression, Hoogeboom, Peters, van den Berg, Welling, 2019, arXiv:1905.07376;
    IDF++: Analyzing and Improving Integer Discrete Flows for Lossless Compression, van den Berg, Gritsenko, Dehghani, Sønderby,
    Salimans, 2020, arXiv:2006.12459 (couplings that start as the identity by a factor). Departures: pixels take turns where the paper
    permutes channels at random; half of the pixels are a checkerboard's; and ``halve``.

    Arguments:
        shape: of an image, ``(C, H, W)``.
        levels: the pixels are whole numbers ``0..levels-1``.
        scales: each of half the side of the one before; as many as the sides allow, at most 3, if None (3 in the paper).
        steps: couplings of each scale (8 in the paper).
        width: channels of the nets (512 in the paper).
        depth: their blocks (12 in the paper).
        components: logistics of each mixture (5 in the paper, too).
        halve: whether the channels of the last scale are halved until one is left, each half given the other (not in the paper, where
            they are independent); a net each.
        memory: what is kept for the gradient, "full", "constant" (activations are found again by inversion) or "checkpoint".
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no image's, or its sides can't be halved so often; an option is not of the kind that its annotation
            says.

    Example::

        >>> idf((1, 8, 8), levels=16, steps=1, width=8).log_prob(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """
    scales = scales or most_scales(shape)
    whole = image(shape, 2**scales)
    likelihood = IntegerLogisticMixture(levels, components, 4.0 + finest(levels))

    def couple(channels: int, step: int) -> IntegerCoupling:
        mask = [i % 4 != step % 4 for i in range(channels)]
        kept = sum(mask)
        return IntegerCoupling(mask, DenseNet(kept + context, channels - kept, width=width, depth=depth, gain=1.0), levels)

    def split(rest: Distribution, left: int) -> SplitPrior:
        seen = (rest.shape[0] + context, *rest.shape[1:])
        net = DenseNet(seen[0], likelihood.params * left, width=width, depth=depth)
        return SplitPrior(rest, Given(likelihood, net, (left, *rest.shape[1:]), seen), levels)

    def last(channels: int, *space: int) -> Distribution:
        """Latents of the last scale."""
        if halve and channels > 1:
            return split(last(channels // 2, *space), channels - channels // 2)
        if not context:
            return Free(likelihood, (channels, *space))
        net = nn.Linear(context, likelihood.params * channels * math.prod(space))
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        return Given(likelihood, nn.Sequential(net, nn.Unflatten(1, (-1, *space))), (channels, *space), context)

    def build(scale: int, *shape: int) -> Flow:
        channels, *space = 4 * shape[0], shape[1] // 2, shape[2] // 2
        order = [i for even in (True, False) for i, flag in enumerate(board(channels)) if flag == even]
        layers: list[Transform] = [Squeeze(), *(couple(channels, step) for step in range(steps)), Permute(order)]
        half = channels // 2
        base = split(build(scale + 1, half, *space), half) if scale + 1 < scales else last(channels, *space)
        return Flow(base, *layers, shape=shape, context=context, memory=memory)

    return build(0, *whole)
