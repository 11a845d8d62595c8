"""Affine maps of one number: shift, shift with a bounded scale, and a gate between the number and another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Univariate

BRINK = 1e15  # of a number whose way back through gates grows without end


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


class Gate(Univariate):
    r"""A gate between the number and another, ``z = g x + (1 - g) h_0`` with ``g = sigmoid(s)``, ``s = bound tanh(h_1 / bound)``.

    It contracts: ``log dz/dx = log g < 0``, which is what a posterior that sharpens step by step needs, and why steps of it are stable. The
    ``Affine`` of the same place has any scale. At its start ``g = sigmoid(start)`` lets almost all of x through, as the forget gate of an
    LSTM does; there is no h that makes it the identity. ``bound=inf`` gives the plain ``s = h_1``. The inverse expands, number after
    number in a layer that reads those before: it ends at 1e15, where any density is 0 and its logarithm still a number.

    Reference: Improving Variational Inference with Inverse Autoregressive Flow, Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling,
    2016, arXiv:1606.04934, equations 13 and 14 (``start`` of 1 or 2).
    """

    params = 2

    def __init__(self, start: float = 2.0, bound: float = 5.0):
        if not bound > 0:
            raise ValueError(f"Gate: bound must be positive, got {bound}")
        self.start, self.bound = start, bound
        self.identity = (0.0, start)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        other, s = h.unbind(1)
        s = self._bounded(s)
        z = x * torch.sigmoid(s) + other * torch.sigmoid(-s)
        return z, F.logsigmoid(s).expand_as(z)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        other, s = h.unbind(1)
        s = self._bounded(s)
        x = (z + (z - other) * (-s).exp()).clamp(-BRINK, BRINK)  # 1 / g = 1 + exp(-s)
        return x, -F.logsigmoid(s).expand_as(x)

    def _bounded(self, s: Tensor) -> Tensor:
        return s if self.bound == float("inf") else torch.tanh(s / self.bound) * self.bound
