"""Distribution functions of mixtures: the line to (0, 1), where a uniform base makes them densities."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import kernels
from .base import Univariate
from .bisection import invert, wide

Kernel = Callable[[Tensor], Tensor]


class GaussianMixtureCDF(Univariate):
    r"""``z = sum_k pi_k Phi((x - mu_k) / sigma_k)``, the line to (0, 1).

    ``pi = softmax(h_k)``, ``mu_k = h_(K+k)``, ``log sigma_k = bound tanh(h_(2K+k) / bound)`` for K components.
    ``log dz/dx = logsumexp_k(log pi_k + log N(x; mu_k, sigma_k))`` is the log density of the mixture: under a uniform base the
    flow is that mixture, and to make z uniform is to maximize the mixture's likelihood. Before a ``Logit`` it feeds any base.

    ``h`` is ``(B or 1, 3 components, C, *rest)``: logits, means, log-scales. ``identity`` has means spread over [-2, 2], equal
    weights and scales 1; a map to (0, 1) can't be the identity, this is what stands closest. Forward costs O(components) and
    is exact; the inverse is numerical, some 50 times that (by the compiled kernel some 5), with exact gradients
    (:func:`~.bisection.invert`).

    Caveats: z near 1 has few digits to tell x by: the round trip's error is ``eps / density``, in float64 1e-12 at 4 standard
    deviations (nothing brings x back beyond 8), in float32 5e-4 at 4 (nothing beyond 5); the same holds in a gap between
    components. On the left precision lasts to -26 standard deviations (float32: -9).
    z stays inside (0, 1), at the float nearest to an end (to 0: ``sqrt(tiny)``) where it would round to it. Outside of (0, 1), ends
    included, the inverse gives x of the nearest z inside with log derivative ``-inf``.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, Ho, Chen,
    Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275, with Gaussians for its logistics.

    Arguments:
        components: how many Gaussians.
        bound: log-scales stay within ``+-bound``.

    Raises:
        ValueError: no components, or a bound that is not positive and finite.

    Example::

        >>> mixture = GaussianMixtureCDF(components=5)
        >>> z, slope = mixture.forward(torch.randn(32, 3), torch.randn(32, mixture.params, 3))
        >>> mixture.params, z.shape, slope.shape
        (15, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, components: int = 5, bound: float = 5.0):
        check("GaussianMixtureCDF", components, bound)
        self.components = components
        self.bound = bound
        self.params = 3 * components
        self.identity = spread(components)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.mixture(self._forward, x, h, self._kind, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_inside(self._kind, self._inverse, z, h)

    @property
    def _kind(self) -> kernels.Mixture:
        return kernels.Mixture(self.components, self.bound, gaussian=True, quantile=False)

    def _forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = mix(wide(x), *parts(h, self.components, self.bound, x), normal_cdf, log_normal)
        return inside(z).to(x.dtype), slope

    def _inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return unmix(z, parts(h, self.components, self.bound, z), normal_cdf, log_normal, torch.special.ndtri)


class LogisticMixtureCDF(Univariate):
    r"""``z = sum_k pi_k sigmoid((x - mu_k) / s_k)``, the line to (0, 1).

    ``pi = softmax(h_k)``, ``mu_k = h_(K+k)``, ``log s_k = bound tanh(h_(2K+k) / bound)`` for K components.
    ``log dz/dx = logsumexp_k(log pi_k - log s_k + logsigmoid(u_k) + logsigmoid(-u_k))`` with ``u_k = (x - mu_k) / s_k`` is the log
    density of the mixture: under a uniform base the flow is that mixture. Flow++ puts a ``Logit`` and an affine map behind it.

    ``h`` is ``(B or 1, 3 components, C, *rest)``: logits, means, log-scales. ``identity`` has means spread over [-2, 2], equal
    weights and scales 1, what stands closest to the identity. Forward costs O(components) and is exact; the inverse is
    numerical, some 50 times that (by the compiled kernel some 5), with exact gradients (:func:`~.bisection.invert`).

    Caveats: those of :class:`GaussianMixtureCDF`, but tails are longer: in float32 x comes back to 1e-3 up to 9 scales on the right.
    Outside of (0, 1), ends included, the inverse gives x of the nearest z inside with log derivative ``-inf``.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, Ho, Chen,
    Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275.

    Arguments:
        components: how many logistics.
        bound: log-scales stay within ``+-bound``.

    Raises:
        ValueError: no components, or a bound that is not positive and finite.

    Example::

        >>> mixture = LogisticMixtureCDF(components=5)
        >>> z, slope = mixture.forward(torch.randn(32, 3), torch.randn(32, mixture.params, 3))
        >>> mixture.params, z.shape, slope.shape
        (15, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, components: int = 5, bound: float = 5.0):
        check("LogisticMixtureCDF", components, bound)
        self.components = components
        self.bound = bound
        self.params = 3 * components
        self.identity = spread(components)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.mixture(self._forward, x, h, self._kind, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_inside(self._kind, self._inverse, z, h)

    @property
    def _kind(self) -> kernels.Mixture:
        return kernels.Mixture(self.components, self.bound, gaussian=False, quantile=False)

    def _forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = mix(wide(x), *parts(h, self.components, self.bound, x), torch.sigmoid, log_logistic)
        return inside(z).to(x.dtype), slope

    def _inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return unmix(z, parts(h, self.components, self.bound, z), torch.sigmoid, log_logistic, torch.logit)


def check(name: str, components: int, bound: float) -> None:
    if components < 1:
        raise ValueError(f"{name}: expected at least 1 component, got {components}")
    if not 0 < bound < math.inf:
        raise ValueError(f"{name}: bound must be positive and finite, got {bound}")


def spread(components: int) -> tuple[float, ...]:
    """Equal weights, means over [-2, 2], scales 1."""
    means = (4 * k / (components - 1) - 2 for k in range(components)) if components > 1 else (0.0,)
    return (*(0.0,) * components, *means, *(0.0,) * components)


def parts(h: Tensor, components: int, bound: float, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights, means and log-scales, each (B or 1, K, C, *rest)."""
    logits, means, scales = h.to(wide(like).dtype).unflatten(1, (3, components)).unbind(1)
    return logits.log_softmax(1), means, torch.tanh(scales / bound) * bound


def mix(x: Tensor, weights: Tensor, means: Tensor, scales: Tensor, cdf: Kernel, log_density: Kernel) -> tuple[Tensor, Tensor]:
    """The mixture's distribution function and its log density."""
    u = (x.unsqueeze(1) - means) * (-scales).exp()
    return (weights.exp() * cdf(u)).sum(1), (weights - scales + log_density(u)).logsumexp(1)


def unmix(z: Tensor, h: tuple[Tensor, Tensor, Tensor], cdf: Kernel, log_density: Kernel, quantile: Kernel) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`mix`: the mixture's quantile lies between the least and the greatest of its components'."""
    _, means, scales = h
    y = inside(wide(z))
    ends = (means + scales.exp() * quantile(y).unsqueeze(1)).detach()
    x, slope = invert(lambda x: mix(x, *h, cdf, log_density), y, ends.amin(1), ends.amax(1), doublings=1)
    return x.to(z.dtype), torch.where((z > 0) & (z < 1), slope, -math.inf)


def inverse_inside(
    kind: kernels.Mixture, plain: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], z: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Outside of (0, 1) x is that of the nearest z inside, with log derivative ``-inf``."""
    x, slope = kernels.mixture(plain, inside(z), h, kind, inverse=True)
    return x, torch.where((z > 0) & (z < 1), slope, -math.inf)


def inside(z: Tensor) -> Tensor:
    """z away from 0 and 1, by the least that floats can tell at 1, and at 0 by what leaves gradients finite."""
    number = torch.finfo(z.dtype)
    return z.clamp(number.tiny**0.5, 1 - number.eps / 2)


def log_normal(u: Tensor) -> Tensor:
    return -0.5 * u.square() - 0.5 * math.log(2 * math.pi)


def log_logistic(u: Tensor) -> Tensor:
    return F.logsigmoid(u) + F.logsigmoid(-u)


def normal_cdf(u: Tensor) -> Tensor:
    """By erfc: ``torch.special.ndtr`` loses all digits on the left, and is 0 at -9 already."""
    return 0.5 * torch.erfc(u * -math.sqrt(0.5))
