"""The exponential likelihood of a number that is not negative."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from .base import Likelihood, bounded, check_bound


class Exponential(Likelihood):
    r"""``p(x) = exp(-x / b) / b`` for ``x >= 0`` with ``log b = bound tanh(h_0 / bound)``: waiting times, gaps, distances from a maximum.

    Exact, of a density; draws are reparameterised. Starts at mean 1.

    Arguments:
        bound: the log of the mean stays within ``+-bound``.

    Raises:
        ValueError: a bound not in (0, 30].

    Example::

        >>> h = torch.randn(8, 1, 3)
        >>> Exponential().log_prob(torch.rand(8, 3), h).shape, Exponential().draw(h).shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    params = 1
    start = (0.0,)
    support = constraints.nonnegative

    def __init__(self, bound: float = 5.0):
        check_bound("Exponential", bound)
        self.bound = bound

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        inside = x.isfinite() & (x >= 0)
        s = bounded(h[:, 0], self.bound)
        return torch.where(inside, -torch.where(inside, x, 0.0) * (-s).exp() - s, -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        return self.quantile(torch.rand_like(h[:, 0]), h)

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        return -torch.expm1(-x.clamp_min(0) * (-bounded(h[:, 0], self.bound)).exp())

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        return -torch.log1p(-u) * bounded(h[:, 0], self.bound).exp()
