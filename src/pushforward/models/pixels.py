"""What the autoregressive recipes of images share: how a pixel is spread, and the flow around the causal net."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from ..core import Flow
from ..distributions import Causal
from ..likelihoods import Bernoulli, Categorical, DiscretizedLogisticMixture, Likelihood
from ..nets import CausalNet, GatedMLP
from .images import image
from .sounds import finest

Level = Literal["auto", "categorical", "mixture"]
ONE_BY_ONE = 32  # up to which each level has a probability of its own, unless asked otherwise


def spread(
    channels: int, levels: int, level: Level, components: int, *, few: int = ONE_BY_ONE, tied: bool = True
) -> tuple[Likelihood, bool]:
    """The likelihood of a number with so many levels, and whether its net has to take the channels of a site in turn.

    ``"auto"``: bits where there are two levels, a probability for each of ``few``, else a mixture of discretized logistics. That one ties
    the channels of a site unless the net can't take them together.
    """
    if levels == 2:
        return Bernoulli(), channels > 1
    if level == "categorical" or (level == "auto" and levels <= few):
        return Categorical(levels), channels > 1
    bound = max(7.0, finest(levels))
    return DiscretizedLogisticMixture(levels, components, channels if tied else 1, bound), channels > 1 and not tied


def causal_image(
    shape: Sequence[int],
    net: Callable[[int, bool], CausalNet],
    *,
    levels: int,
    pixel: Level = "auto",
    components: int = 5,
    context: int = 0,
    tied: bool = True,
) -> Flow:
    """A flow without layers over ``p(x) = prod_i p(x_i | x_{<i})``, with ``net(params, in_turn)`` for its parameters."""
    likelihood, in_turn = spread(image(shape)[0], levels, pixel, components, tied=tied)
    return Flow(Causal(likelihood, net(likelihood.params, in_turn), shape, context), context=context)


def causal_decoder(net: CausalNet, likelihood: Likelihood, shape: Sequence[int], maps: int, *, inputs: int, width: int, depth: int) -> Flow:
    """``p(x|z)`` by a causal net whose context is a map of ``maps`` channels, which gated layers make of the ``inputs`` numbers of z."""
    place = (maps, *shape[1:])
    embed = nn.Sequential(GatedMLP(inputs, math.prod(place), width=width, depth=depth), nn.Unflatten(1, place))
    return Flow(Causal(likelihood, net, shape, place), context=inputs, embed=embed)
