"""Neural spline flow: rational-quadratic splines with linear mixing between (Durkan et al., 2019, arXiv:1906.04032)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import ResidualMLP
from ..transforms import ActNorm, Coupling, LULinear
from ..univariate import CubicSpline, LinearSpline, QuadraticSpline, RationalQuadratic
from .common import Net, Order, alternating, autoregressive, vector

SPLINES = {"rational_quadratic": RationalQuadratic, "quadratic": QuadraticSpline, "cubic": CubicSpline, "linear": LinearSpline}


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
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """``RQ-NSF (AR)`` or ``RQ-NSF (C)`` of the paper, without its batch norm and dropout.

    Arguments: ``steps`` spline layers of ``bins`` bins on ``[-bound, bound]``, with residual nets of ``depth`` blocks of
    ``width`` units; ``spline`` the kind of curve (quadratic and linear: arXiv:1808.03856, cubic: arXiv:1906.02145; a linear one
    learns least, since its log derivative has no gradient for the layers before it); ``mixing`` puts an LU-decomposed linear
    map before each; ``order`` in which an autoregressive layer visits the features, and its ``net``: with ``"transformer"``,
    ``depth`` counts blocks of tokens of ``width`` numbers (start from ``depth=2, width=32, steps=1``); ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        curve = SPLINES[spline](bins, bound)
        layers += [ActNorm(dim)] + ([LULinear(dim)] if mixing and dim > 1 else [])
        if mechanism == "autoregressive":
            layer = autoregressive(curve, dim, step, order=order, width=width, depth=depth, residual=True, context=context, net=net)
            layers.append(layer)
        else:
            mask = alternating(dim, step)
            half = ResidualMLP(sum(mask) + context, curve.params * (dim - sum(mask)), width=width, depth=depth)
            layers.append(Coupling(mask, curve, half))
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
