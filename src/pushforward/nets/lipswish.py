"""Smooth units whose slopes are at most one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SWISH_SLOPE = 1.1  # of x sigmoid(b x), whatever b: 1.09984
PAIR_SLOPE = 1.1044  # of [swish(x), swish(-x)]: their slopes add up to 1, so that it is the length of (1.09984, -0.09984), 1.10436


class LipSwish(nn.Module):
    """``x sigmoid(softplus(b) x) / 1.1`` with a learned number b: between linear and rectified units, twice differentiable.

    Reference: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735, section 3.2.

    Attributes:
        outputs: for each unit.

    Example::

        >>> slopes = torch.func.vmap(torch.func.grad(LipSwish()))(torch.linspace(-9, 9, 1000))
        >>> bool(slopes.abs().max() <= 1)
        True
    """

    outputs = 1

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(F.softplus(self.sharpness) * x) / SWISH_SLOPE

    def slopes(self, x: Tensor) -> Tensor:
        """Of all that it gives, of its shape."""
        return self._swish_slope(x) / SWISH_SLOPE

    def _swish_slope(self, x: Tensor) -> Tensor:
        sharpness = F.softplus(self.sharpness)
        share = torch.sigmoid(sharpness * x)
        return share * (1 + sharpness * x * (1 - share))


class CLipSwish(LipSwish):
    """``[swish(x), swish(-x)] / 1.1044``, two numbers for each, on axis 1: together they have a slope of .64 to 1 everywhere.

    Reference: Invertible DenseNets with Concatenated LipSwish, Perugachi-Diaz, Tomczak, Bhulai, 2021, arXiv:2102.02694, section 3.2.
    """

    outputs = 2

    def forward(self, x: Tensor) -> Tensor:
        half = x * torch.sigmoid(F.softplus(self.sharpness) * x)
        return torch.cat([half, half - x], 1) / PAIR_SLOPE  # swish(-x) = swish(x) - x

    def slopes(self, x: Tensor) -> Tensor:
        half = self._swish_slope(x)
        return torch.cat([half, half - 1], 1) / PAIR_SLOPE


class Sine(nn.Module):
    """``sin(x)``.

    Reference: Implicit Normalizing Flows, Lu, Chen, Li, Wang, Zhu, 2021, arXiv:2103.09527, appendix.
    """

    outputs = 1

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)

    def slopes(self, x: Tensor) -> Tensor:
        return torch.cos(x)
