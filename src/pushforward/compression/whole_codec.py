"""Images and sounds of whole numbers, by models that find number after number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import Flow
from ..distributions import Causal, Multiscale
from ..likelihoods import Discrete, DiscretizedLogisticMixture
from .codec import Codec, filled_up
from .coder import Coder
from .digits import by_digits


class WholeCodec(Codec):
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
        self.base, self.likelihood = self.flow.base, self.flow.base.likelihood
        with torch.no_grad():
            turns = self.base.order.flatten()
        self.turns = turns.argsort(stable=True).split(turns.unique(return_counts=True)[1].tolist())

    def options(self, x: Tensor) -> dict[str, Any]:
        return {}

    def configure(self, options: Mapping[str, Any]) -> None:
        pass

    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        known = None if x is None else x.flatten(1).long()
        found = torch.zeros(rows, math.prod(self.base.shape), dtype=torch.long)
        turns = iter(self.turns)

        def find(h: Tensor) -> Tensor:
            at = next(turns)
            part = self._numbers(coder, h, rows, None if known is None else known[:, at].view(rows, *h.shape[2:]))
            found[:, at] = part.flatten(1)
            return filled_up(part, self.block).to(h.dtype)

        self.base.visit(find, self.block, context)
        return found.view(rows, *self.base.shape).double()

    def _numbers(self, coder: Coder, h: Tensor, rows: int, x: Tensor | None) -> Tensor:
        """The numbers of parameters ``(block, params, c, *rest)``: ``(rows, c, *rest)``; tied channels one after the other."""
        shape = (self.block, *h.shape[2:])
        tied = isinstance(self.likelihood, DiscretizedLogisticMixture) and self.likelihood.channels > 1
        parts = [slice(c, c + 1) for c in range(shape[1])] if tied else [slice(None)]
        found = torch.zeros(shape, dtype=torch.long)
        for part in parts:
            size = found[:rows, part].shape

            def below(k: np.ndarray, part: slice = part, size: torch.Size = size) -> np.ndarray:
                return self._below(torch.from_numpy(k).view(*size, -1), h, found, part).reshape(k.shape)

            given = None if x is None else x[:, part].reshape(-1).numpy()
            numbers = by_digits(coder, self.likelihood.levels, below, given, size.numel())
            found[:rows, part] = torch.from_numpy(numbers).view(size)
        return found[:rows]

    def _below(self, k: Tensor, h: Tensor, found: Tensor, part: slice) -> np.ndarray:
        """``P(X < k)`` of some channels, ``(rows, c, *rest, Q)``, given those before."""
        if part == slice(None):
            return self.likelihood.cdf((k - 1).to(h.dtype), h[: len(k)].unsqueeze(-1)).numpy()
        levels = found.unsqueeze(-1).repeat(*(1 for _ in found.shape), k.shape[-1])
        levels[: len(k), part] = k - 1
        return self.likelihood.cdf(levels.to(h.dtype), h.unsqueeze(-1))[: len(k), part].numpy()
