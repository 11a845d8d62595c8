"""Unconstrained monotonic nets."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..univariate import UnconstrainedMonotonic
from .common import Net, Order, mixed, vector
from .recipe import recipe


@recipe
def umnn(
    shape: Sequence[int],
    *,
    steps: int = 3,
    units: int = 8,
    cells: int = 48,
    bound: float = 4.0,
    width: int = 128,
    depth: int = 1,
    residual: bool = True,
    mixing: bool = True,
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """Unconstrained monotonic nets, autoregressive: each map the integral of a positive net (Wehenkel, Louppe, 2019, arXiv:1908.05164).

    ``z_i = h_0 + int_0^{x_i} g(t) dt`` with a positive net g of one hidden layer, whose weights a masked net gives from ``x_<i``
    (``UMNN-MAF`` of the paper), summed over trapezoids. Rows ``(B, D)``. Density in one pass; samples take D steps with the arithmetic
    of one pass, and no search: both are exact.

    Caveats: two features of the data closer than ``2 bound / cells`` are not told apart, and slopes are constant beyond ``+-bound``:
    standardize first.

    Reference: Unconstrained Monotonic Neural Networks, Wehenkel, Louppe, 2019, arXiv:1908.05164. Departures: a small integrand for each
    feature, and exact normalization (:class:`~pushforward.univariate.UnconstrainedMonotonic`).

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        units: hidden units of an integrand.
        cells: trapezoids, an even number.
        bound: half the width of the interval that they cover.
        width: hidden units of the masked nets.
        depth: their hidden layers; with ``residual``, blocks.
        residual: pre-activation blocks of two layers.
        mixing: an LU-decomposed linear map before each layer.
        order: in which layers visit the features: back and forth ("alternating"), drawn for each layer ("random"), or always "same".
        net: "made", or "transformer", for which ``depth`` counts blocks of tokens of ``width`` numbers (start from 32) and ``residual``
            has no effect.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> umnn((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    univariate = UnconstrainedMonotonic(units, cells, bound)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
