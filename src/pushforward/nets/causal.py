"""The contract of causal nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

Solve = Callable[[int, Tensor], Tensor]  # i and h (B, params, c) -> x_i (B, c)


class Masked(NamedTuple):
    """A masked dense net as data, for what computes it in another way: hidden units are sorted by how many features they see.

    Attributes:
        order: the features by position.
        ends: how many hidden units are known at a position.
        residual: its square layers are blocks of two, before the activation.
        given: what a context adds to the first layer, ``(B, width)``.
        weights: weight and bias of the first layer ``(width, D - 1)``, of each square one, and of the last ``(params D, width)``, unmasked.
        compute: the net as a function ``(x, given, *weights)``.
    """

    order: tuple[int, ...]
    ends: tuple[int, ...]
    residual: bool
    given: Tensor | None
    weights: list[Tensor]
    compute: Callable[..., Tensor]


class CausalNet(nn.Module):
    """A net whose output at a position reads the positions before it only, in an order of its own.

    A position holds c numbers: of a vector ``(B, D)`` one, each feature being a position; of images and signals ``(B, C, *space)`` all C
    channels of a site, or one where these go in turn. One pass over known x serves densities; a visit of unknown x, position by
    position, serves sampling, inversion and coding. ``Autoregressive`` and ``Causal`` take such a net. What a visit remembers is in
    local variables.

    Attributes:
        in_turn: the channels of a site are positions of their own, one after the other.
    """

    in_turn = False

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters for every position: ``(B, C, *space) -> (B, params * C, *space)``, seen as ``(B, params, C, *space)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        """Find x position by position: ``solve(i, h) -> x_i`` gets ``h`` ``(B, params, c)`` and gives ``(B, c)``. Returns x.

        i is the feature of a vector; or the number of a site in row-major order, with its channels in turn the last to count.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define unroll")

    def positions(self, x: Tensor) -> Tensor:
        """The numbers of x by position, ``(B, D)`` or ``(B, C, *space) -> (B, c, positions)``, as :meth:`unroll` counts them."""
        if x.dim() > 2 and not self.in_turn:
            return x.flatten(2)
        return x.movedim(1, -1).flatten(1).unsqueeze(1)

    def masked(self, context: Tensor | None = None) -> Masked | None:
        """The net as data, if it is a masked dense one."""
        return None
