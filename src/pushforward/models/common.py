"""What several recipes share."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from ..core import Transform
from ..nets import MADE, MLP, CausalNet, CausalTransformer
from ..transforms import ActNorm, Autoregressive, Coupling, LULinear
from ..univariate import Univariate

Order = Literal["alternating", "random", "same"]
Net = Literal["made", "transformer"]
HEAD = 16  # numbers in a head of a transformer, at least
EXACT_IN_TRAINING = 3  # features up to which an exact trace or determinant costs little more than an estimate, whose noise it spares


def vector(shape: Sequence[int]) -> int:
    """The length of a vector event."""
    if len(shape) != 1 or shape[0] < 1:
        raise ValueError(f"this model takes vectors, shape (D,), got {tuple(shape)}; flatten the event first")
    return shape[0]


def alternating(dim: int, step: int) -> list[bool]:
    """The mask that keeps every other feature, the even ones and the odd ones in turn; one feature is never kept."""
    return [dim > 1 and (i + step) % 2 == 0 for i in range(dim)]


def visit(dim: int, step: int, order: Order) -> list[int]:
    """The order in which layer ``step`` visits the features: 0..D-1 and back in turn, drawn for each layer, or always 0..D-1."""
    features = list(range(dim))
    if order == "random":
        random.Random(step).shuffle(features)  # of the step alone: a model that is built again is the same
    elif order == "alternating" and step % 2:
        features.reverse()
    return features


def autoregressive(
    univariate: Univariate,
    dim: int,
    step: int,
    *,
    order: Order,
    width: int,
    depth: int,
    residual: bool,
    context: int,
    net: Net = "made",
) -> Autoregressive:
    """Every feature through a scalar map whose parameters come from a causal net over those before it in the layer's order.

    For a transformer ``width`` is that of a token, ``depth`` counts blocks, and ``residual`` is without effect: it always is.
    """
    visited = visit(dim, step, order)
    causal: CausalNet
    if net == "made":
        causal = MADE(dim, univariate.params, width=width, depth=depth, context=context, order=visited, residual=residual)
    else:
        heads = math.gcd(width, max(1, width // HEAD))
        causal = CausalTransformer(dim, univariate.params, width=width, depth=depth, heads=heads, context=context, order=visited)
    return Autoregressive(univariate, causal)


def mixed(
    univariate: Univariate,
    dim: int,
    *,
    steps: int,
    mixing: bool,
    order: Order,
    width: int,
    depth: int,
    residual: bool,
    context: int,
    net: Net,
) -> list[Transform]:
    """``steps`` autoregressive layers of one scalar map, each behind ActNorm and, if ``mixing``, an LU map; ActNorm last."""
    layers: list[Transform] = []
    for step in range(steps):
        layer = autoregressive(univariate, dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net)
        layers += [ActNorm(dim), *([LULinear(dim, whiten=True)] if mixing and dim > 1 else []), layer]
    return [*layers, ActNorm(dim)]


def conditioner(univariate: Univariate, dim: int, context: int, width: int, depth: int) -> Transform:
    """Every feature through a scalar map whose parameters come from the context alone."""
    return Coupling([False] * dim, univariate, MLP(context, univariate.params * dim, width=width, depth=depth))
