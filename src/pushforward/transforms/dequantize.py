"""Integers as continuous numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Transform, zeros


class Dequantize(Transform):
    r"""Adds uniform noise to integers, ``z = x + u`` with ``u ~ U[0, 1)``; ``ldj = -log q(u|x) = 0``. Back by the floor.

    ``log p(x) >= E_u log p(x + u)``: the flow's likelihood becomes a lower bound on the probability of the integer, tight where
    the density is flat within each bin. The mass of all integers sums to 1 only if the layers that follow cover exactly the
    bins: for levels 0..K-1 a logit of the interval [0, K].

    ``encode`` takes the centre of the bin, ``x + 1/2``; ``decode`` and ``inverse`` the floor, whose gradient is zero.
    Cost O(D). x is expected to hold whole numbers, as floats; others come back as their floor.

    Reference: A note on the evaluation of generative models, Theis, van den Oord, Bethge, 2015, arXiv:1511.01844, section 3.1;
    as a layer: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731.

    Arguments:
        levels: if given, what comes back is clamped to 0..levels-1.

    Raises:
        ValueError: ``levels`` is not positive.

    Example::

        >>> z, ldj = Dequantize(levels=16)(torch.randint(16, (8, 64)).double())
        >>> z.shape, ldj.shape
        (torch.Size([8, 64]), torch.Size([8]))
    """

    stochastic_forward = True

    def __init__(self, levels: int | None = None):
        super().__init__()
        if levels is not None and levels < 1:
            raise ValueError(f"Dequantize: levels must be at least 1, got {levels}")
        self.levels = levels

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # rand gives multiples of eps/2 from 0 on; the middle of each step keeps off the ends of the bin, where a logit is infinite.
        u = torch.rand_like(x) + torch.finfo(x.dtype).eps / 4
        z = x + u
        return torch.where(z < x + 1, z, x + 0.5), zeros(x)  # x + u may round up to the next integer

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = z.floor()
        return x if self.levels is None else x.clamp(0, self.levels - 1), zeros(z)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x + 0.5

    def extra_repr(self) -> str:
        return "" if self.levels is None else f"levels={self.levels}"
