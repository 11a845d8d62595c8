"""Affine maps of one number: shift, and shift with a bounded scale."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Univariate


class Additive(Univariate):
    """A shift, ``z = x + h``; volume preserving.

    Reference: NICE: Non-linear Independent Components Estimation, Dinh, Krueger, Bengio, 2014, arXiv:1410.8516.
    """

    params = 1
    identity = (0.0,)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z = x + h[:, 0]
        return z, torch.zeros_like(z)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        x = z - h[:, 0]
        return x, torch.zeros_like(x)


class Affine(Univariate):
    r"""Scale and shift, ``z = x exp(s) + h_0`` with ``s = bound tanh(h_1 / bound)``.

    The bound keeps the scale within ``exp(+-bound)``: an unbounded one overflows during training sooner or later.
    ``bound=inf`` gives the plain ``s = h_1``.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803.
    """

    params = 2
    identity = (0.0, 0.0)

    def __init__(self, bound: float = 5.0):
        if not bound > 0:
            raise ValueError(f"Affine: bound must be positive, got {bound}")
        self.bound = bound

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        shift, s = h.unbind(1)
        s = self._bounded(s, 1.0)
        z = x * s.exp() + shift
        return z, s.expand_as(z)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        shift, s = h.unbind(1)
        s = self._bounded(s, -1.0)
        x = (z - shift) * s.exp()
        return x, s.expand_as(x)

    def _bounded(self, s: Tensor, sign: float) -> Tensor:
        """The log-scale of a direction."""
        return sign * s if self.bound == float("inf") else torch.tanh(s * (sign / self.bound)) * self.bound
