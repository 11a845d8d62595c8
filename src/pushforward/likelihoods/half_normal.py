"""The half-normal likelihood of a number that is not negative."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from .base import Likelihood, bounded, check_bound


class HalfNormal(Likelihood):
    r"""``p(x) = 2 N(x; 0, exp(2 s))`` for ``x >= 0`` with ``s = bound tanh(h_0 / bound)``: the absolute value of a normal number.

    Exact, of a density; draws are reparameterised. Starts at scale 1.

    Arguments:
        bound: the log-scale stays within ``+-bound``.

    Raises:
        ValueError: a bound not in (0, 30].

    Example::

        >>> from pushforward import likelihoods
        >>> half, h = likelihoods.HalfNormal(), torch.randn(8, 1, 3)
        >>> half.log_prob(torch.rand(8, 3), h).shape, half.draw(h).shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    params = 1
    start = (0.0,)
    support = constraints.nonnegative

    def __init__(self, bound: float = 5.0):
        check_bound("HalfNormal", bound)
        self.bound = bound

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        inside = x.isfinite() & (x >= 0)
        s = bounded(h[:, 0], self.bound)
        white = torch.where(inside, x, 0.0) * (-s).exp()
        return torch.where(inside, -0.5 * white.square() - s + 0.5 * math.log(2 / math.pi), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        return torch.randn_like(h[:, 0]).abs() * bounded(h[:, 0], self.bound).exp()

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.erf(x.clamp_min(0) * (-bounded(h[:, 0], self.bound)).exp() / math.sqrt(2))

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        return torch.erfinv(u) * math.sqrt(2) * bounded(h[:, 0], self.bound).exp()
