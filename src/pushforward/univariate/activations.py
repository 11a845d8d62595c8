"""Maps without parameters between the line and its parts: logit, log, tanh and their like."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Univariate


class Sigmoid(Univariate):
    """``z = 1 / (1 + exp(-x))``, the line to (0, 1); ``log dz/dx = -softplus(x) - softplus(-x)``.

    In float32 z rounds to 1 beyond x = 17, where nothing can bring x back; below, precision lasts to x = -87.
    """

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(x), F.logsigmoid(x) + F.logsigmoid(-x)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Logit().forward(z, h)


class Logit(Univariate):
    """``z = log x - log(1 - x)``, (0, 1) to the line; ``log dz/dx = -log x - log(1 - x)``.

    Outside of (0, 1), ends included, z is that of the nearest float inside and the log derivative is ``-inf``.
    """

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        number = torch.finfo(x.dtype)
        inside = (x > 0) & (x < 1)
        x = x.clamp(number.tiny, 1 - number.eps / 2)
        low, high = x.log(), torch.log1p(-x)
        return low - high, torch.where(inside, -low - high, -math.inf)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Sigmoid().forward(z, h)


class Exp(Univariate):
    """``z = exp(x)``, the line to the positive numbers; ``log dz/dx = x``.

    z stays positive and finite where exp itself would vanish or overflow (in float32 beyond x = -87 and 88).
    """

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        number = torch.finfo(x.dtype)
        return x.clamp(math.log(number.tiny), math.log(number.max) * (1 - number.eps)).exp(), x

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Log().forward(z, h)


class Log(Univariate):
    """``z = log x``, the positive numbers to the line; ``log dz/dx = -log x``, and ``-inf`` where x is not positive."""

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        number = torch.finfo(x.dtype)
        z = x.clamp(number.tiny, number.max).log()
        return z, torch.where((x > 0) & (x <= number.max), -z, -math.inf)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return Exp().forward(z, h)


class Softplus(Univariate):
    """``z = log(1 + exp(x))``, the line to the positive numbers, the identity for large x; ``log dz/dx = -softplus(-x)``.

    Inverse ``x = z + log(1 - exp(-z))``, with log derivative ``-inf`` where z is not positive.
    """

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return -F.logsigmoid(-x), F.logsigmoid(x)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        number = torch.finfo(z.dtype)
        inside = (z > 0) & (z <= number.max)
        z = z.clamp(number.tiny, number.max)
        slope = torch.log(-torch.expm1(-z))
        return z + slope, torch.where(inside, -slope, -math.inf)


class Tanh(Univariate):
    """``z = tanh(x)``, the line to (-1, 1); ``log dz/dx = 2 (log 2 - x - softplus(-2 x))``.

    In float32 z rounds to 1 beyond x = 9. Outside of (-1, 1) the inverse gives x of the nearest float inside with log
    derivative ``-inf``.
    """

    params = 0
    identity = ()

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.tanh(x), 2 * math.log(2) + F.logsigmoid(2 * x) + F.logsigmoid(-2 * x)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        end = 1 - torch.finfo(z.dtype).eps / 2
        inside = z.abs() < 1
        z = z.clamp(-end, end)
        return torch.atanh(z), torch.where(inside, -torch.log1p(-z) - torch.log1p(z), -math.inf)


class LeakyReLU(Univariate):
    """``z = x`` where positive, else ``slope x``.

    Arguments:
        slope: the positive slope of the negative half.

    Raises:
        ValueError: a slope that is not positive, which can't be inverted.
    """

    params = 0
    identity = ()

    def __init__(self, slope: float = 0.01):
        if not 0 < slope < math.inf:
            raise ValueError(f"LeakyReLU: slope must be positive and finite, got {slope}")
        self.slope = slope

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.where(x >= 0, x, self.slope * x), torch.where(x >= 0, torch.zeros_like(x), math.log(self.slope))

    def inverse(self, z: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.where(z >= 0, z, z / self.slope), torch.where(z >= 0, torch.zeros_like(z), -math.log(self.slope))
