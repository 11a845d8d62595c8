"""Neural spline flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import ResidualMLP
from ..transforms import ActNorm, Coupling, LULinear, Marginals
from ..univariate import CubicSpline, LinearSpline, QuadraticSpline, RationalQuadratic
from .common import Net, Order, alternating, autoregressive, vector
from .recipe import recipe

SPLINES = {"rational_quadratic": RationalQuadratic, "quadratic": QuadraticSpline, "cubic": CubicSpline, "linear": LinearSpline}


@recipe
def nsf(
    shape: Sequence[int],
    *,
    mechanism: Literal["autoregressive", "coupling"] = "autoregressive",
    spline: Literal["rational_quadratic", "quadratic", "cubic", "linear"] = "rational_quadratic",
    steps: int = 5,
    bins: int = 8,
    bound: float = 5.0,
    width: int = 128,
    depth: int = 1,
    mixing: bool = True,
    whiten: bool = True,
    order: Order = "alternating",
    net: Net = "made",
    marginals: int = 0,
    context: int = 0,
) -> Flow:
    """Neural spline flow: rational-quadratic splines with linear mixing between (Durkan et al., 2019, arXiv:1906.04032).

    ``z_i = spline(x_i; h_i)``, an increasing curve of ``bins`` rational-quadratic pieces on ``[-bound, bound]`` and the identity
    beyond, with h_i from a net that reads the features before i ("autoregressive", ``RQ-NSF (AR)`` of the paper) or one half of them
    ("coupling", ``RQ-NSF (C)``). Rows ``(B, D)``. Density in one pass; samples in one pass of each net for couplings, in D steps with
    the arithmetic of one pass otherwise. Both are exact.

    Caveats: beyond ``+-bound`` the splines change nothing, so standardize first (``fit`` does). A linear spline learns least, since its
    log derivative has no gradient for the layers before it.

    References: Neural Spline Flows, Durkan, Bekasov, Murray, Papamakarios, 2019, arXiv:1906.04032; linear and quadratic splines: Neural
    Importance Sampling, Müller et al., 2018, arXiv:1808.03856; cubic ones: Cubic-Spline Flows, Durkan et al., 2019, arXiv:1906.02145.
    Departures: ActNorm, no batch norm and dropout, and knots as :class:`~pushforward.univariate.RationalQuadratic` has them.

    Arguments:
        shape: of a row, ``(D,)``.
        mechanism: "autoregressive" or "coupling".
        spline: "rational_quadratic", "quadratic", "cubic" or "linear".
        steps: layers of splines.
        bins: pieces of a spline.
        bound: half the width of the interval on which splines bend.
        width: hidden units of the residual nets.
        depth: their blocks.
        mixing: an LU-decomposed linear map before each layer.
        whiten: whether these maps start from the covariance of the data, or from the identity.
        order: in which layers visit the features: back and forth ("alternating"), drawn for each layer ("random"), or always "same".
            Not for couplings.
        net: "made", or "transformer", for which ``depth`` counts blocks of tokens of ``width`` numbers (start from ``depth=2, width=32,
            steps=1``).
        marginals: pieces of a first spline for each column, which starts from its quantiles; 0 for none. A fit with ``mixing`` starts from
            the Gaussian of full covariance, and with both from a Gaussian copula with the columns' own densities.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> nsf((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = [Marginals(dim, marginals)] if marginals else []
    for step in range(steps):
        curve = SPLINES[spline](bins, bound)
        layers += [ActNorm(dim)] + ([LULinear(dim, whiten=whiten)] if mixing and dim > 1 else [])
        if mechanism == "autoregressive":
            layer = autoregressive(curve, dim, step, order=order, width=width, depth=depth, residual=True, context=context, net=net)
            layers.append(layer)
        else:
            mask = alternating(dim, step)
            half = ResidualMLP(sum(mask) + context, curve.params * (dim - sum(mask)), width=width, depth=depth)
            layers.append(Coupling(mask, curve, half))
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
