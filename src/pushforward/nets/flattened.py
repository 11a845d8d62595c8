"""A causal net of vectors over the numbers of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from .causal import CausalNet, Solve


class Flattened(CausalNet):
    r"""A net of vectors that reads an image or a signal number by number: site after site, in each its channels in turn.

    ``(B, C, *space) -> (B, params * C, *space)``. A context is a vector, as the net within takes it.

    Arguments:
        shape: of x, ``(C, *space)``.
        net: makes the net of so many features, which visits them in their order, as ``lambda dim: MADE(dim, params)``.

    Example::

        >>> net = Flattened((3, 4, 4), lambda dim: MADE(dim, 2, width=64))
        >>> net(torch.randn(8, 3, 4, 4)).shape
        torch.Size([8, 6, 4, 4])
    """

    in_turn = True

    def __init__(self, shape: Sequence[int], net: Callable[[int], CausalNet]):
        super().__init__()
        self.shape = tuple(shape)
        self.net = net(math.prod(shape))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"Flattened: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        h = self.net(x.movedim(1, -1).flatten(1), context)
        return h.unflatten(1, (-1, *self.shape[1:], self.shape[0])).movedim(-1, 2).flatten(1, 2)

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        x = self.net.unroll(solve, batch, context)
        return x.unflatten(1, (*self.shape[1:], self.shape[0])).movedim(-1, 1).contiguous()

    def extra_repr(self) -> str:
        return f"shape={self.shape}"
