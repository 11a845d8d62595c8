"""Radial flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..transforms import Radial
from .common import vector
from .planar import Direction, amortized_flow
from .recipe import recipe


@recipe
def radial(
    shape: Sequence[int], *, steps: int = 16, direction: Direction = "density", width: int = 64, depth: int = 2, context: int = 0
) -> Flow:
    """Radial flow: a stack of moves towards points or away from them (Rezende and Mohamed, 2015, arXiv:1505.05770).

    ``z = x + g alpha (x - c) / (alpha + |x - c|)`` in each layer. Small, and weak beside splines. Rows ``(B, D)``. O(D) a layer in both
    directions, which are exact. With a context, nets give each row its own centers and, as the paper's encoder, the location and scale
    of its base.

    Caveats: with so few parameters it trains best at a large rate, ``train.lr=0.01``.

    Reference: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770, section 4.1. Departure: ActNorm.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        direction: with data ("density") or latents ("sampling") as the x of the formula; a choice of shape and not of speed.
        width: hidden units of the nets that read the context.
        depth: their hidden layers.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> radial((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    return amortized_flow(
        shape, [lambda net: Radial(dim, net)] * steps, dim + 2, direction=direction, width=width, depth=depth, context=context
    )
