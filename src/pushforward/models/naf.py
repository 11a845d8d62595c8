"""Neural autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..core import Flow
from ..distributions import Normal
from ..univariate import DeepSigmoidal, DenseSigmoidal, Univariate
from .common import Net, Order, mixed, vector
from .recipe import recipe


@recipe
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
    """Neural autoregressive flow: every feature through a net of sigmoids (Huang et al., 2018, arXiv:1804.00779).

    ``z_i = logit(sum_k w_k sigmoid(a_k (x_i - mu_k)))`` ("deep", ``NAF-DSF`` of the paper) with w, a and mu from a masked net of
    ``x_<i``, or several such layers with all units connected ("dense", ``NAF-DDSF``). Rows ``(B, D)``. Density in one pass; samples
    take D steps, each with a numerical inverse. The density is exact.

    Caveats: sampling costs some 50 evaluations of each map; distill it into an :func:`iaf` where that matters.

    Reference: Neural Autoregressive Flows, Huang, Krueger, Lacoste, Courville, 2018, arXiv:1804.00779. Departures: ActNorm and linear
    mixing, and a small linear part in each map.

    Arguments:
        shape: of a row, ``(D,)``.
        kind: "deep" or "dense".
        steps: layers.
        units: sigmoids of each map.
        layers: of each map, if dense.
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

        >>> naf((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    univariate: Univariate = DeepSigmoidal(units) if kind == "deep" else DenseSigmoidal(units, layers)
    stack = mixed(
        univariate, dim, steps=steps, mixing=mixing, order=order, width=width, depth=depth, residual=residual, context=context, net=net
    )
    return Flow(Normal(shape), *stack, context=context)
