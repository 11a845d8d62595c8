"""Autoregressive mixture flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from ..core import Distribution, Flow, Transform
from ..distributions import Beta, Normal, Uniform
from ..transforms import ActNorm
from ..univariate import GaussianMixtureCDF, LogisticMixtureCDF, MixtureQuantile, Univariate
from .common import Net, Order, autoregressive, vector
from .recipe import recipe


@recipe
def mixture_cdf(
    shape: Sequence[int],
    *,
    components: int = 5,
    kernel: Literal["gaussian", "logistic"] = "gaussian",
    base: Literal["uniform", "normal", "beta"] = "uniform",
    steps: int = 1,
    width: int = 128,
    depth: int = 2,
    residual: bool = False,
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """Autoregressive mixture flow: each feature through the CDF of a mixture given those before it (Uria et al., 2013, arXiv:1306.0186).

    ``z_i = sum_k pi_k Phi((x_i - mu_k) / sigma_k)`` with pi, mu and sigma from a net of ``x_<i``: under a uniform base, the density
    whose conditionals are mixtures (RNADE), fitted by exact maximum likelihood. Rows ``(B, D)``. Density in one pass; samples take D
    steps, each with a numerical inverse of a CDF. The density is exact.

    The base is Uniform on [0, 1], Beta(5, 5) on [0, 1], or the standard normal. Before a normal base, and before a further step, the
    mixture's CDF is followed by the quantile function of its kernel (the logit for the logistic one), as one map of the line onto
    itself: ``steps=3`` is CDF, quantile, CDF, quantile, CDF.

    References: RNADE: The real-valued neural autoregressive density-estimator, Uria, Murray, Larochelle, 2013, arXiv:1306.0186; Flow++,
    Ho et al., 2019, arXiv:1902.00275 (mixture CDFs as layers).

    Arguments:
        shape: of a row, ``(D,)``.
        components: of each mixture.
        kernel: "gaussian" or "logistic".
        base: "uniform", "normal" or "beta".
        steps: layers.
        width: hidden units of the masked nets.
        depth: their hidden layers; with ``residual``, blocks.
        residual: pre-activation blocks of two layers.
        order: in which layers visit the features: back and forth ("alternating"), drawn for each layer ("random"), or always "same".
        net: "made", or "transformer", for which ``depth`` counts blocks of tokens of ``width`` numbers (start from 32) and ``residual``
            has no effect.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> mixture_cdf((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    bases: dict[str, Callable[[Sequence[int]], Distribution]] = {"uniform": Uniform, "normal": Normal, "beta": partial(Beta, a=5.0, b=5.0)}
    layers: list[Transform] = []
    for step in range(steps):
        univariate: Univariate = MixtureQuantile(components, kernel)
        if step == steps - 1 and base != "normal":
            univariate = (GaussianMixtureCDF if kernel == "gaussian" else LogisticMixtureCDF)(components)
        layer = autoregressive(univariate, dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net)
        layers += [ActNorm(dim), layer]
    return Flow(bases[base](shape), *layers, context=context)
