"""Planar flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import nn

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..nets import MLP
from ..transforms import ActNorm, Planar
from ..univariate import Affine
from .common import conditioner, vector
from .recipe import recipe

Direction = Literal["density", "sampling"]


@recipe
def planar(
    shape: Sequence[int], *, steps: int = 16, direction: Direction = "density", width: int = 64, depth: int = 2, context: int = 0
) -> Flow:
    """Planar flow: a stack of moves in one direction by a tanh of another (Rezende and Mohamed, 2015, arXiv:1505.05770).

    ``z = x + u tanh(w^T x + b)`` in each layer. Small, and weak beside splines: for variational inference, and as the flow that all
    others are compared with. Rows ``(B, D)``. O(D) a layer in the analytic direction; the other solves one equation per layer and row.
    Density and samples are exact. With a context, nets give each row its own planes and, as the paper's encoder, the location and scale
    of its base.

    Caveats: with so few parameters it trains best at a large rate, ``train.lr=0.01``.

    Reference: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770, section 4.1. Departures: ActNorm,
    and another map that keeps u invertible (:class:`~pushforward.transforms.Planar`).

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        direction: which way is fast and analytic, "density" to fit data, "sampling" for reverse KL and posteriors.
        width: hidden units of the nets that read the context.
        depth: their hidden layers.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> planar((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    return amortized_flow(
        shape, [lambda net: Planar(dim, net)] * steps, 2 * dim + 1, direction=direction, width=width, depth=depth, context=context
    )


def amortized_flow(
    shape: Sequence[int],
    makers: Sequence[Callable[[nn.Module | None], Transform]],
    params: int,
    *,
    direction: Direction,
    width: int,
    depth: int,
    context: int,
) -> Flow:
    """A layer from each maker, which gets a net from the context to its ``params`` numbers, or none without a context."""
    dim = vector(shape)
    layers: list[Transform] = []
    for make in makers:
        layer = make(MLP(context, params, width=width, depth=depth) if context else None)
        layers += [ActNorm(dim), Inverse(layer) if direction == "sampling" else layer]
    layers.append(ActNorm(dim))
    if context:
        layers.append(conditioner(Affine(), dim, context, width, depth))
    return Flow(Normal(shape), *layers, context=context)
