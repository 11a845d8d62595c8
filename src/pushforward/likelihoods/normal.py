"""The normal likelihood of a real number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Likelihood, bounded, check_bound


class Normal(Likelihood):
    r"""``p(x) = N(x; h_0, exp(2 s))`` with ``s = bound tanh(h_1 / bound)``: an encoder, a decoder of real numbers. Starts standard.

    Exact, of a density; draws are reparameterised.

    Arguments:
        bound: the log-scale stays within ``+-bound``: one free to shrink overfits to infinite likelihood.

    Raises:
        ValueError: a bound not in (0, 30].

    Example::

        >>> from pushforward import likelihoods
        >>> normal, h = likelihoods.Normal(), torch.randn(8, 2, 3)
        >>> normal.log_prob(torch.randn(8, 3), h).shape, normal.draw(h).shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    params = 2
    start = (0.0, 0.0)

    def __init__(self, bound: float = 5.0):
        check_bound("Normal", bound)
        self.bound = bound

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        inside = x.isfinite()
        mean, s = self.moments(h)
        white = (torch.where(inside, x, 0.0) - mean) * (-s).exp()
        return torch.where(inside, -0.5 * white.square() - s - 0.5 * math.log(2 * math.pi), -torch.inf)

    def moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation."""
        return h[:, 0], bounded(h[:, 1], self.bound)

    def draw(self, h: Tensor) -> Tensor:
        mean, s = self.moments(h)
        return torch.addcmul(mean, torch.randn_like(mean), s.exp())

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        mean, s = self.moments(h)
        return torch.special.ndtr((x - mean) * (-s).exp())

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        mean, s = self.moments(h)
        return mean + torch.special.ndtri(u) * s.exp()

    def kl_from_standard(self, h: Tensor) -> Tensor:
        """``KL(N(h_0, exp(2 s)) || N(0, 1)) = (h_0^2 + exp(2 s) - 1) / 2 - s`` of each number, in nats."""
        mean, s = self.moments(h)
        return 0.5 * (mean.square() + torch.expm1(2 * s)) - s
