"""Neural autoregressive flow: every feature through a net of sigmoids (Huang et al., 2018, arXiv:1804.00779)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow
from ..distributions import Normal
from ..univariate import DeepSigmoidal, DenseSigmoidal, Univariate
from .common import Net, Order, mixed, vector


def naf(
    shape: Sequence[int],
    *,
    kind: Literal["deep", "dense"] = "deep",
    steps: int = 5,
    units: int = 16,
    layers: int = 2,
    width: int = 128,
    depth: int = 1,
    residual: bool = True,
    mixing: bool = True,
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """``NAF-DSF`` and ``NAF-DDSF`` of the paper.

    Arguments: ``steps`` sigmoidal layers, each a mixture of ``units`` sigmoids (``kind`` deep) or ``layers`` layers of ``units`` (dense),
    with masked nets of ``depth`` layers of ``width`` units (``residual``: blocks of two); ``mixing`` puts an LU-decomposed linear map
    before each; ``order`` in which each layer visits the features; ``net`` made or transformer; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    univariate: Univariate = DeepSigmoidal(units) if kind == "deep" else DenseSigmoidal(units, layers)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
