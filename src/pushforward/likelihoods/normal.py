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
        s = bounded(h[:, 1], self.bound)
        white = (torch.where(inside, x, 0.0) - h[:, 0]) * (-s).exp()
        return torch.where(inside, -0.5 * white.square() - s - 0.5 * math.log(2 * math.pi), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        return h[:, 0] + torch.randn_like(h[:, 0]) * bounded(h[:, 1], self.bound).exp()

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.special.ndtr((x - h[:, 0]) * (-bounded(h[:, 1], self.bound)).exp())

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        return h[:, 0] + torch.special.ndtri(u) * bounded(h[:, 1], self.bound).exp()

    def kl_from_standard(self, h: Tensor) -> Tensor:
        """``KL(N(h_0, exp(2 s)) || N(0, 1)) = (h_0^2 + exp(2 s) - 1) / 2 - s`` of each number, in nats."""
        s = bounded(h[:, 1], self.bound)
        return 0.5 * (h[:, 0].square() + torch.expm1(2 * s)) - s
