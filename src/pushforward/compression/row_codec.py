"""Rows of tables, by models of any columns given any others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import Flow
from ..distributions import AnyOrder
from ..documents import validated
from ..transforms import Quantize
from .codec import RangeCodec, filled_up
from .coder import Coder
from .digits import by_shares, surplus_of
from .lattice import Lattice
from .parts import ColumnParts, log_widths


class RowCodec(RangeCodec):
    """Rows of a table by ``p(x) = prod_i p(c_i | c_{<i}) m_i(x_i | c_i)``: cells and parts column by column, then values in their parts.

    Of K orders the model's own is taken. Numbers are those of a :class:`Lattice`, found from all rows. Where gaps are ignorable, whether a
    value is there is coded by its share of each column.

    Cost: D passes of the net in each direction.

    Arguments:
        flow: :class:`Quantize` over an :class:`AnyOrder`.
        block: rows of a block.
    """

    usual = 4096

    def __init__(self, flow: Flow, block: int | None = None):
        super().__init__(flow, block)
        (layer,) = self.flow.transform.transforms
        assert isinstance(self.flow.base, AnyOrder) and isinstance(layer, Quantize)
        self.base, self.layer = self.flow.base, layer
        self.columns: list[ColumnParts] = []
        self.lattices: list[Lattice] = []
        self.present: list[float] = []

    def options(self, x: Tensor, context: Tensor | None = None) -> dict[str, Any]:
        values = x.numpy().T
        lattices = [Lattice.of(v[~np.isnan(v)], bool(whole)) for v, whole in zip(values, self.layer.whole)]
        present = [] if self.base.gaps else [round(float(1 - np.isnan(v).mean()), 6) if len(v) else 1.0 for v in values]
        return {"numbers": [str(lattice) for lattice in lattices], "present": present}

    def configure(self, options: Mapping[str, Any]) -> None:
        self.lattices = [Lattice.parse(text) for text in validated(list[str], options.get("numbers"), "numbers")]
        self.present = validated(list[float], options.get("present"), "present")
        if len(self.lattices) != self.base.dim or len(self.present) != (0 if self.base.gaps else self.base.dim):
            raise ValueError(f"numbers: expected those of {self.base.dim} columns")
        self.columns = [ColumnParts(self.layer, i, lattice) for i, lattice in enumerate(self.lattices)]

    def code(self, coder: Coder, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
        values = None if x is None else x.numpy()
        known = None if x is None else self.layer.split(x)[0].numpy()
        absent = self._absent(coder, rows, values)
        cells = np.zeros(rows, np.int64)

        def find(i: int, digit: int, log_shares: Tensor) -> Tensor:
            here = np.flatnonzero(~absent[:, i] if digit == 0 else cells < self.base.cells)
            found = np.full(rows, 0 if digit else self.base.cells)
            given = None if known is None else known[here, i, digit]
            found[here] = by_shares(coder, log_shares[:rows][torch.from_numpy(here)].double().numpy(), given)
            if digit == 0:
                cells[:] = found
            return filled_up(found, self.block)

        codes = self.base.visit(find, self.block, context)[:rows].numpy()
        found = np.full((rows, self.base.dim), np.nan)
        for i, column in enumerate(self.columns):
            here = np.flatnonzero(codes[:, i, 0] < self.base.cells)
            part = column.part(codes[here, i] @ np.array([self.base.fine, 1]))
            found[here, i] = column.code(coder, part, None if values is None else values[here, i])
        return torch.from_numpy(found)

    def log_widths(self, x: Tensor) -> Tensor:
        """What makes log probabilities of log densities: the log distance of neighbours on the lattice, summed over columns, ``(N,)``."""
        codes = self.layer.split(x)[0] @ torch.tensor([self.base.fine, 1])
        widths = [log_widths(self.layer, i, lattice, x[:, i].numpy(), codes[:, i]) for i, lattice in enumerate(self.lattices)]
        return torch.from_numpy(np.sum(widths, 0))

    def presence_bits(self, x: Tensor) -> float:
        """Bits in which it is coded what is there, where the model says nothing of it."""
        total = 0.0
        for i, share in enumerate(self.present):
            absent = int(x[:, i].isnan().sum())
            for count, part in ((absent, 1 - share), (len(x) - absent, share)):
                total -= count * math.log2(max(part, 2.0**-24)) if count else 0.0
        return total

    def _absent(self, coder: Coder, rows: int, x: np.ndarray | None) -> np.ndarray:
        """Which values are missing, as far as the model's codes do not tell, ``(rows, D)``."""
        found = np.zeros((rows, self.base.dim), bool)
        for i, share in enumerate(self.present):
            surplus = surplus_of(np.repeat([[0.0, share, 1.0]], rows, 0))
            found[:, i] = coder.choice(surplus, None if x is None else np.isnan(x[:, i]).astype(np.int64)).astype(bool)
        return found
