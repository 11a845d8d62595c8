"""Autoregressive mixture flow: each feature through the CDF of a mixture that a causal net conditions on those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from ..core import Distribution, Flow, Transform
from ..distributions import Beta, Normal, Uniform
from ..transforms import ActNorm
from ..univariate import GaussianMixtureCDF, LogisticMixtureCDF, MixtureQuantile, Univariate
from .common import Net, Order, autoregressive, vector


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
    """``z_i = sum_k pi_k Phi((x_i - mu_k) / sigma_k)`` with pi, mu and sigma from a net of ``x_<i``: under a uniform base, the density
    whose conditionals are mixtures (RNADE), fitted by exact maximum likelihood.

    ``base`` is Uniform on [0, 1], Beta(5, 5) on [0, 1], or the standard normal. Before a normal base, and before a further step, the
    mixture's CDF is followed by the quantile function of its kernel (the logit for the logistic one), as one map of the line
    onto itself: ``steps=3`` is CDF, quantile, CDF, quantile, CDF. Density in one pass; sampling inverts each CDF numerically.

    References: RNADE: The real-valued neural autoregressive density-estimator, Uria, Murray, Larochelle, 2013, arXiv:1306.0186;
    Flow++, Ho et al., 2019, arXiv:1902.00275 (mixture CDFs as layers).

    Arguments: ``components`` of the mixtures, Gaussian or logistic (``kernel``); ``base``; ``steps`` layers with masked nets of
    ``depth`` layers of ``width`` units (``residual``: blocks of two); ``order`` in which each layer visits the features; ``net`` made
    or transformer; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    bases: dict[str, Callable[[Sequence[int]], Distribution]] = {"uniform": Uniform, "normal": Normal, "beta": partial(Beta, a=5.0, b=5.0)}
    if base not in bases:
        raise ValueError(f"mixture_cdf: base must be one of {', '.join(bases)}, got {base!r}")
    if steps < 1:
        raise ValueError(f"mixture_cdf: expected at least 1 step, got {steps}")
    layers: list[Transform] = []
    for step in range(steps):
        univariate: Univariate = MixtureQuantile(components, kernel)
        if step == steps - 1 and base != "normal":
            univariate = (GaussianMixtureCDF if kernel == "gaussian" else LogisticMixtureCDF)(components)
        layer = autoregressive(univariate, dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net)
        layers += [ActNorm(dim), layer]
    return Flow(bases[base](shape), *layers, context=context)
