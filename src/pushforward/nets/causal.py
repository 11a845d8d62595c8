"""The contract of causal nets."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Solve = Callable[[int, Tensor], Tensor]  # i and h (B, params, c) -> x_i (B, c)


class CausalNet(nn.Module):
    """A net whose output at a position reads the positions before it only, in an order of its own.

    A position holds c numbers: of a vector ``(B, D)`` one, each feature being a position; of images and signals ``(B, C, *space)`` all C
    channels of a site. One pass over known x serves densities; a visit of unknown x, position by position, serves sampling, inversion
    and coding. ``Autoregressive`` and ``Causal`` take such a net. What a visit remembers is in local variables.
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters for every position: ``(B, C, *space) -> (B, params * C, *space)``, seen as ``(B, params, C, *space)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        """Find x position by position: ``solve(i, h) -> x_i`` gets ``h`` ``(B, params, c)`` and gives ``(B, c)``. Returns x.

        i is the feature of a vector, and the number of a site in row-major order.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define unroll")
