"""Sum-of-squares polynomial flow: each map the integral of a sum of squared polynomials (Jaini et al., 2019, arXiv:1905.02325)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..univariate import LinearTails, SumOfSquares
from .common import Net, Order, mixed, vector


def sos(
    shape: Sequence[int],
    *,
    steps: int = 5,
    squares: int = 3,
    degree: int = 2,
    bound: float = 4.0,
    width: int = 128,
    depth: int = 1,
    residual: bool = True,
    mixing: bool = True,
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """Polynomials of degree ``2 degree + 1`` on ``[-bound, bound]``, straight beyond: stacked polynomials overflow at the first outlier.

    Density in one pass; sampling inverts each polynomial numerically.

    Arguments: ``steps`` layers with sums of ``squares`` polynomials of the given ``degree``, from masked nets of ``depth`` layers of
    ``width`` units (``residual``: blocks of two); ``mixing`` puts an LU-decomposed linear map before each; ``order`` in which
    each layer visits the features; ``net`` made or transformer; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    univariate = LinearTails(SumOfSquares(squares, degree), bound)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
