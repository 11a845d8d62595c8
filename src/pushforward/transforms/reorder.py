"""Another order of the channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core import zeros
from ..words import check_counts
from .checks import expect_channels
from .whole import Stage, Staged, linear_stage


class Permute(Staged):
    """Channels in another order, ``z[:, i] = x[:, order[i]]``; ``ldj = 0``. Cost O(D).

    The order is part of the state: a model whose orders were drawn at random survives saving and loading, also into an
    instance that was built with another order.

    Arguments:
        order: a permutation of 0..C-1.

    Raises:
        ValueError: ``order`` is not a permutation, or x has another number of channels.

    Example::

        >>> z, ldj = Permute((2, 0, 1))(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    order: Tensor

    def __init__(self, order: Sequence[int]):
        super().__init__()
        chosen = tuple(int(i) for i in order)
        if sorted(chosen) != list(range(len(chosen))):
            raise ValueError(f"Permute: order must hold each of 0..{len(chosen) - 1} once, got {chosen}")
        self.register_buffer("order", torch.tensor(chosen, dtype=torch.long))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Permute", self.order.numel(), x)
        return x.index_select(1, self.order), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Permute", self.order.numel(), z)
        return z.index_select(1, self.order.argsort()), zeros(z)

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        return linear_stage(self.inverse if inverse else self.forward, order=self.order.tolist())

    def extra_repr(self) -> str:
        return f"{self.order.numel()} channels"


class Reverse(Staged):
    """Channels from last to first, ``z[:, i] = x[:, C-1-i]``; ``ldj = 0``. Cost O(D).

    Arguments:
        dim: the number of channels.

    Raises:
        ValueError: x has another number of channels.

    Example::

        >>> Reverse(3)(torch.arange(3.0)[None])[0]
        tensor([[2., 1., 0.]])
    """

    def __init__(self, dim: int):
        super().__init__()
        check_counts("Reverse", dim=dim)
        self.dim = dim

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Reverse", self.dim, x)
        return x.flip(1), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        expect_channels("Reverse", self.dim, z)
        return z.flip(1), zeros(z)

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        return linear_stage(self.inverse if inverse else self.forward, order=range(self.dim - 1, -1, -1))

    def extra_repr(self) -> str:
        return str(self.dim)
