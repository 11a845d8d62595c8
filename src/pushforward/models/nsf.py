"""Neural spline flow: rational-quadratic splines with linear mixing between (Durkan et al., 2019, arXiv:1906.04032)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import ResidualMLP
from ..transforms import ActNorm, Coupling, LULinear
from ..univariate import RationalQuadratic
from .common import Order, alternating, autoregressive, vector


def nsf(
    shape: Sequence[int],
    *,
    mechanism: Literal["autoregressive", "coupling"] = "autoregressive",
    steps: int = 5,
    bins: int = 8,
    bound: float = 5.0,
    width: int = 128,
    depth: int = 1,
    mixing: bool = True,
    order: Order = "alternating",
    context: int = 0,
) -> Flow:
    """``RQ-NSF (AR)`` or ``RQ-NSF (C)`` of the paper, without its batch norm and dropout.

    Arguments: ``steps`` spline layers of ``bins`` bins on ``[-bound, bound]``, with residual nets of ``depth`` blocks of
    ``width`` units; ``mixing`` puts an LU-decomposed linear map before each; ``order`` in which an
    autoregressive layer visits the features; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        spline = RationalQuadratic(bins, bound)
        layers += [ActNorm(dim)] + ([LULinear(dim)] if mixing and dim > 1 else [])
        if mechanism == "autoregressive":
            layers.append(autoregressive(spline, dim, step, order=order, width=width, depth=depth, residual=True, context=context))
        else:
            mask = alternating(dim, step)
            half = ResidualMLP(sum(mask) + context, spline.params * (dim - sum(mask)), width=width, depth=depth)
            layers.append(Coupling(mask, spline, half))
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
