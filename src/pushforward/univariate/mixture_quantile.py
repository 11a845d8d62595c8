"""Mixture distribution functions carried back to the line by the quantile function of one component."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import kernels
from .base import Univariate
from .bisection import invert, wide
from .mixture import check, log_logistic, log_normal, parts, spread

NEAR = -5.0  # log probability above which the quantile is taken of the probability itself


class MixtureQuantile(Univariate):
    r"""``z = K^-1( sum_k pi_k K((x - mu_k) / sigma_k) )``, the line onto the line, with K the kernel's distribution function.

    A mixture's CDF carries x to a uniform number, the quantile function of one standard component carries that to z: the flow
    of the mixture under a base of that component (a Gaussian kernel and a normal base). One component is an affine map, so
    that the tails are at worst affine, and layers of this kind compose. For the logistic kernel ``K^-1`` is the logit (Flow++).
    ``log dz/dx = log sum_k (pi_k / sigma_k) K'(u_k) - log K'(z)``.

    ``h`` is ``(B or 1, 3 components, C, *rest)``: logits of the weights, means, log-scales (as :class:`GaussianMixtureCDF` has them).
    ``identity`` has means spread over [-2, 2], equal weights and scales 1. Forward costs O(components); the inverse is
    numerical, some 50 times that (by the compiled kernel some 5), with exact gradients (:func:`~.bisection.invert`).

    Both tails are computed from the logarithms of K and of 1 - K, so that x comes back from where the CDF alone has rounded to
    1: from any x in float64 and float32, to the digits that z has. Where z is flat (between far components) it can say little.
    Of a Gaussian kernel's tail the log derivative is the difference of two numbers near ``z^2 / 2`` and has their rounding, in float32 0.1
    at 1e3 (so has the base's own log density there); beyond 1e18 (float64: 1e148) the map is constant.

    References: Flow++, Ho, Chen, Srinivas, Duan, Abbeel, 2019, arXiv:1902.00275 (logistic kernel); Gaussianization Flows, Meng,
    Song, Song, Ermon, 2020, arXiv:2003.01941 (to a normal base).

    Arguments:
        components: how many terms the mixture has.
        kernel: "gaussian" or "logistic".
        bound: log-scales stay within ``+-bound``.

    Raises:
        ValueError: no components, another kernel, or a bound that is not positive and finite.

    Example::

        >>> mixture = MixtureQuantile(components=5)
        >>> z, slope = mixture.forward(torch.randn(32, 3), torch.randn(32, mixture.params, 3))
        >>> mixture.params, z.shape, slope.shape
        (15, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, components: int = 5, kernel: Literal["gaussian", "logistic"] = "gaussian", bound: float = 5.0):
        check("MixtureQuantile", components, bound)
        if kernel not in ("gaussian", "logistic"):
            raise ValueError(f"MixtureQuantile: kernel must be 'gaussian' or 'logistic', got {kernel!r}")
        self.components = components
        self.kernel = kernel
        self.bound = bound
        self.params = 3 * components
        self.identity = spread(components)

    @property
    def _kind(self) -> kernels.Mixture:
        return kernels.Mixture(self.components, self.bound, gaussian=self.kernel == "gaussian", quantile=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.mixture(self._forward, x, h, self._kind, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.mixture(self._inverse, z, h, self._kind, inverse=True)

    def _forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = self._map(wide(x), parts(h, self.components, self.bound, x))
        return z.to(x.dtype), slope

    def _inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, mixture = wide(z), parts(h, self.components, self.bound, z)
        _, means, scales = mixture
        ends = (means + scales.exp() * y.unsqueeze(1)).detach()  # the x that each component alone would give
        x, slope = invert(lambda x: self._map(x, mixture), y, ends.amin(1), ends.amax(1), doublings=1)
        return x.to(z.dtype), slope

    def _map(self, x: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        weights, means, scales = mixture
        far = torch.finfo(x.dtype).max ** 0.48  # whose square is a number
        u = ((x.unsqueeze(1) - means) * (-scales).exp()).clamp(-far, far)
        log_cdf, log_density = (log_normal_cdf, log_normal) if self.kernel == "gaussian" else (F.logsigmoid, log_logistic)
        below, above = (weights + log_cdf(u)).logsumexp(1), (weights + log_cdf(-u)).logsumexp(1)
        slope = (weights - scales + log_density(u)).logsumexp(1)
        if self.kernel == "logistic":
            return below - above, slope - below - above
        left = below < above
        z = log_quantile(torch.where(left, below, above))  # by minimum, the gradient at 0 would be half of either side's
        z = torch.where(left, z, -z)
        return z, slope - log_normal(z)


def log_normal_cdf(u: Tensor) -> Tensor:
    """``log Phi(u)``, exact in both tails; ``torch.special.log_ndtr`` is too, but torch.func has to take it row by row."""
    left, right = u.clamp_max(0), u.clamp_min(0)
    tail = (0.5 * torch.special.erfcx(left * -math.sqrt(0.5))).log() - 0.5 * left.square()
    return torch.where(u < 0, tail, torch.log1p(-0.5 * torch.erfc(right * math.sqrt(0.5))))


def log_quantile(y: Tensor) -> Tensor:
    """The standard normal's z <= 0 with ``log Phi(z) = y``, for any ``y <= -log 2``; twice differentiable.

    Above ``NEAR`` by the quantile function itself, below by four Newton steps from the leading terms of the tail.
    """
    with torch.no_grad():
        near = torch.special.ndtri(y.clamp(NEAR, -math.log(2)).exp())
        square = -2 * y.clamp_max(NEAR)
        far = -(square - (2 * math.pi * square).log()).sqrt()
        for _ in range(4):
            far = far - (log_normal_cdf(far) - y) * mills(far)
        root = torch.where(y < NEAR, far, near)
    z = root
    for _ in range(2):  # these leave the value and give the derivatives of the implicit function
        miss = log_normal_cdf(z) - y
        z = z - (miss - miss.detach()) * mills(z)
    return z


def mills(z: Tensor) -> Tensor:
    """``Phi(z) / phi(z)``, which is ``dz / d log Phi``."""
    return math.sqrt(math.pi / 2) * torch.special.erfcx(z * -math.sqrt(0.5))
