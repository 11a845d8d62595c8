"""Images and sounds of whole numbers, by models that find number after number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..core import Flow
from ..distributions import Causal, Multiscale
from ..likelihoods import Discrete
from .codec import RangeCodec
from .coder import Coder
from .whole_numbers import in_turn


class WholeCodec(RangeCodec):
    """Images or sounds of whole numbers by ``p(x) = prod_i p(x_i | x_{<i})``, in the order and by the lines in which samples are drawn.

    Cost: in each direction that of as many samples, and for each number 17 values of the distribution function for each 4 bits of its
    levels.

    Arguments:
        flow: no layers over a :class:`Causal` or :class:`Multiscale` of a likelihood of whole numbers.
        block: images of a block.
    """

    usual = 256

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        assert isinstance(self.flow.base, Causal | Multiscale) and isinstance(self.flow.base.likelihood, Discrete)
        self.base = self.flow.base

    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        return {}

    def configure(self, options: Mapping[str, Any]) -> None:
        pass

    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        return in_turn(coder, self.base, self.block, rows, x, context)
