"""Sum-of-squares polynomial flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..distributions import Normal
from ..univariate import LinearTails, SumOfSquares
from .common import Net, Order, mixed, vector
from .recipe import recipe


@recipe
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
    """Sum-of-squares polynomial flow: each map the integral of a sum of squared polynomials (Jaini et al., 2019, arXiv:1905.02325).

    ``z_i = c + int_0^{x_i} sum_k p_k(t)^2 dt``, a polynomial of degree ``2 degree + 1`` whose coefficients a masked net gives from
    ``x_<i``. Rows ``(B, D)``. Density in one pass; samples take D steps, each with a numerical inverse. The density is exact.

    Caveats: beyond ``+-bound`` the maps are straight, since stacked polynomials overflow at the first outlier; standardize first.

    Reference: Sum-of-Squares Polynomial Flow, Jaini, Selby, Yu, 2019, arXiv:1905.02325. Departures: the straight tails, ActNorm and
    linear mixing.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        squares: polynomials under the integral.
        degree: of each.
        bound: half the width of the interval with polynomials.
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

        >>> sos((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    univariate = LinearTails(SumOfSquares(squares, degree), bound)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
