"""The likelihood of a bit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Discrete


class Bernoulli(Discrete):
    r"""``P(1) = sigmoid(h_0)`` and ``P(0) = sigmoid(-h_0)``: binary images, yes and no. Starts at 1/2. Exact.

    Example::

        >>> h = torch.randn(8, 1, 3)
        >>> Bernoulli().log_prob(torch.ones(8, 3), h).shape, Bernoulli().draw(h).shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
    """

    params = 1
    start = (0.0,)

    def __init__(self) -> None:
        super().__init__(2)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.where(self._inside(x), F.logsigmoid((2 * self._level(x) - 1) * h[:, 0]), -torch.inf)

    def draw(self, h: Tensor) -> Tensor:
        return (torch.rand_like(h[:, 0]) < h[:, 0].detach().sigmoid()).to(h.dtype)

    def probabilities(self, h: Tensor) -> Tensor:
        return torch.cat([-h, h], 1).sigmoid()
