"""Unconstrained monotonic nets, autoregressive: each map the integral of a positive net (Wehenkel, Louppe, 2019, arXiv:1908.05164)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..univariate import UnconstrainedMonotonic
from .common import Net, Order, mixed, vector


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
    """``UMNN-MAF`` of the paper, with a small integrand for each feature whose weights the conditioner gives, and exact normalization.

    Density and samples are exact, no root is searched; see :class:`~pushforward.univariate.UnconstrainedMonotonic`.

    Arguments: ``steps`` layers of integrands with ``units`` hidden units, summed over ``cells`` trapezoids of ``[-bound, bound]``,
    from masked nets of ``depth`` layers of ``width`` units (``residual``: blocks of two); ``mixing`` puts an LU-decomposed linear map
    before each; ``order`` in which each layer visits the features; ``net`` made or transformer; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    univariate = UnconstrainedMonotonic(units, cells, bound)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
