"""The Laplace likelihood of a real number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Likelihood, bounded, check_bound


class Laplace(Likelihood):
    r"""``p(x) = exp(-|x - h_0| / b) / (2 b)`` with ``log b = bound tanh(h_1 / bound)``: absolute errors where the normal has squares.

    Exact, of a density; draws are reparameterised. Starts at location 0 and scale 1.

    Arguments:
        bound: the log-scale stays within ``+-bound``.

    Raises:
        ValueError: a bound not in (0, 30].

    Example::

        >>> h = torch.randn(8, 2, 3)
        >>> Laplace().log_prob(torch.randn(8, 3), h).shape, Laplace().draw(h).shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    params = 2
    start = (0.0, 0.0)

    def __init__(self, bound: float = 5.0):
        check_bound("Laplace", bound)
        self.bound = bound

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        inside = x.isfinite()
        s = bounded(h[:, 1], self.bound)
        far = (torch.where(inside, x, 0.0) - h[:, 0]).abs() * (-s).exp()
        return torch.where(inside, -far - s - math.log(2), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        u = torch.rand_like(h[:, 0])
        return self.quantile(torch.where(u > 0, u, 0.5), h)  # 0 comes once in 2^24 draws, and its quantile is infinite

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        white = (x - h[:, 0]) * (-bounded(h[:, 1], self.bound)).exp()
        tail = 0.5 * (-white.abs()).exp()
        return torch.where(white < 0, tail, 1 - tail)

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        white = torch.where(u < 0.5, (2 * u).log(), -(2 - 2 * u).log())
        return h[:, 0] + white * bounded(h[:, 1], self.bound).exp()
