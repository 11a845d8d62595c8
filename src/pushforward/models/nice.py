"""NICE: additive couplings that alternate which half they read, then one diagonal scaling (Dinh et al., 2014, arXiv:1410.8516)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import MLP
from ..transforms import Coupling, Elementwise
from ..univariate import Additive, Affine
from .common import alternating, vector


def nice(shape: Sequence[int], *, steps: int = 4, width: int = 128, depth: int = 2, context: int = 0) -> Flow:
    """The paper's model with a normal base (the paper prefers the logistic for images) and four couplings.

    Arguments: ``steps`` couplings with nets of ``depth`` layers of ``width`` units; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        mask = alternating(dim, step)
        layers.append(Coupling(mask, Additive(), MLP(sum(mask) + context, dim - sum(mask), width=width, depth=depth)))
    return Flow(Normal(shape), *layers, Elementwise(Affine(), shape), context=context)
