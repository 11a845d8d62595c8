"""Radial flow: a stack of moves towards points or away from them (Rezende and Mohamed, 2015, arXiv:1505.05770)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..transforms import Radial
from .common import vector
from .planar import Direction, amortized_flow


def radial(
    shape: Sequence[int], *, steps: int = 16, direction: Direction = "density", width: int = 64, depth: int = 2, context: int = 0
) -> Flow:
    """Small, and weak beside splines; both directions are analytic, so that ``direction`` is a choice of shape and not of speed.
    With so few parameters it trains best at a large rate, ``train.lr=0.01``.

    Arguments: ``steps`` layers; ``direction`` in which they stand, with data ("density") or latents ("sampling") as the x of
    the paper's formula; with a ``context``, nets of ``depth`` layers of ``width`` units give each row its own centers and, as the
    paper's encoder, the location and scale of its base.
    """
    dim = vector(shape)
    return amortized_flow(
        shape, [lambda net: Radial(dim, net)] * steps, dim + 2, direction=direction, width=width, depth=depth, context=context
    )
