"""Sylvester flow: planar moves in the frame of an orthogonal matrix (van den Berg et al., 2018, arXiv:1803.05649)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..core import Chain, Flow, Transform
from ..transforms import Permute, Sylvester
from ..transforms.sylvester import Kind
from .common import vector
from .planar import Direction, amortized_flow


def sylvester(
    shape: Sequence[int],
    *,
    steps: int = 8,
    rank: int = 16,
    kind: Kind = "householder",
    direction: Direction = "density",
    width: int = 64,
    depth: int = 2,
    context: int = 0,
) -> Flow:
    """Planar flows with more than one plane a layer: for variational inference, where a few of them replace many planar layers.
    It trains best at a large rate, ``train.lr=0.01``.

    "triangular" layers move ``rank`` features each; between them these go to the end of the line, last one first, which at full
    rank is the paper's alternation of the identity and the reversal.

    Arguments: ``steps`` layers of ``rank`` planes (at most one for each feature), in the frame of a matrix of this ``kind``;
    ``direction`` is the one that is fast and analytic, "density" for fitting data or "sampling" for reverse KL and variational
    posteriors (the other solves ``rank`` equations per layer, one after the other); with a ``context``, nets of ``depth`` layers of
    ``width`` units give each row its own moves and, as the paper's encoder, the location and scale of its base.

    Raises ValueError where triangular layers are too few to move every feature.
    """
    dim = vector(shape)
    rank = min(rank, dim)
    if kind == "triangular" and steps * rank < dim:
        raise ValueError(
            f"sylvester: {steps} triangular layers of rank {rank} move {steps * rank} of {dim} features; "
            "raise steps or rank, or use another kind"
        )
    order = [*range(rank, dim), *reversed(range(rank))]

    def make(net: nn.Module | None) -> Transform:
        layer = Sylvester(dim, rank, kind, net)
        return Chain(layer, Permute(order)) if kind == "triangular" else layer

    return amortized_flow(shape, [make] * steps, rank**2 + 2 * rank, direction=direction, width=width, depth=depth, context=context)
