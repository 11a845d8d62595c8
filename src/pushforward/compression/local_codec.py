"""Images of whole numbers, by flows over dequantized numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import Chain, Flow
from ..distributions import Normal
from .chain_codec import ChainCodec
from .codec import checksum, repeatable
from .damage import Damage
from .grid_cells import NoisyCells, why_no_cells
from .grid_layers import through_layer, why_not_on_grid
from .stack import Stack
from .standard import by_standard


class LocalCodec(ChainCodec):
    """Images by a flow: noise is drawn from the stack, the flow goes over a grid layer by layer, and latents are pushed by the base.

    A factor takes bits from the stack where it stretches and leaves them where it shrinks, in all ``log|det dz/dx|``; what a row leaves is
    the dequantized bound, ``-log2 p(z) - log2|det dz/dx| + log2 q(u|x)`` on average. Numbers are on a grid of 2^-14; shifts are rounded to
    it, matrices are triangles and factors, other scalar maps lines between knots 2^-10 apart. Everything is whole numbers once the nets
    have been asked, and they are asked for the same numbers in both directions.

    Cost: in each direction a pass of the flow, and two uniform numbers for each number and layer; knots of maps that are no lines are found
    in 18 values of the map in decoding.

    References: Compression with Flows via Local Bits-Back Coding, Ho, Lohn, Abbeel, 2019, arXiv:1905.08500. Departure: uniform noise within
    the cells of a grid, as in iFlow (Zhang, Kang, Ryder, Li, 2021, arXiv:2111.00965), in place of normal noise about each number, whose
    error grows with it and which takes more bits to begin with.

    Arguments:
        flow: a dequantization, layers with a form on a grid, a normal base: see :func:`why_not_local`.
        block: images of a block.
    """

    method = "local bits-back coding"

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        assert not why_not_local(self.flow)
        self.cells, rest = NoisyCells.of(list(self.flow.transform.transforms))
        self.rest = Chain(*rest)

    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        return {"share": self.share_of(x, context)}

    def probe(self) -> str:
        """As others, and of real numbers to their last digit: the edges of cells are told by more digits than probabilities have."""
        with repeatable():
            edges = self.cells.behind(np.linspace(-(2**18), 2**18, 4097).astype(np.int64))
        return checksum(super().probe().encode(), edges.tobytes())

    def put(self, stack: Stack, x: Tensor, context: Tensor | None) -> None:
        whole, levels = x.long().numpy(), self.cells.layer.levels
        assert levels is not None
        if whole.min(initial=0) < 0 or whole.max(initial=0) >= levels:
            raise Damage("it holds a number that the model does not have")
        z = through_layer(stack, self.rest, self.cells.put(stack, whole, context), context)
        with stack.pushing() as coder:
            by_standard(coder, z.shape, z)

    def take(self, stack: Stack, rows: int, context: Tensor | None) -> Tensor:
        z = by_standard(stack.popping, (rows, *self.flow.base.shape), None)
        y = through_layer(stack, self.rest, z, context, back=True)
        return torch.from_numpy(self.cells.take(stack, y, context)).double()


def why_not_local(flow: Flow) -> str:
    """What keeps a flow from local bits-back coding, as the end of a sentence; nothing if it can be coded."""
    layers = list(flow.transform.transforms)
    if reason := why_no_cells(layers):
        return reason
    if not isinstance(flow.base, Normal):
        return f"its base {type(flow.base).__name__} is no standard normal"
    name = why_not_on_grid(Chain(*NoisyCells.of(layers)[1]))
    return f"its layer {name} has no form on a grid" if name else ""
