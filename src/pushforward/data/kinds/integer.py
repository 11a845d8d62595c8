"""Whole numbers: counts, ratings, levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ..cells import EXACT, Cells, is_string
from ..errors import leaving_out
from ..restore import numeric
from .counted import Counted, ends_of


@dataclass(frozen=True, kw_only=True)
class Integer(Counted):
    """Whole numbers, open or between ends.

    Attributes:
        low, high: the ends; None where there is none.
    """

    name: ClassVar[str] = "integer"
    low: float | None = None
    high: float | None = None

    @classmethod
    def infer(cls, cells: Cells) -> Integer | None:
        if cells.whole is None:
            return None
        return cls.of(cells, *ends_of(*cells.distinct))

    @classmethod
    def of(cls, cells: Cells, low: float | None = None, high: float | None = None) -> Integer:
        """As it was declared."""
        return cls(dtype="double" if is_string(cells.dtype) else str(cells.plain.type), low=low, high=high)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        return self.low, self.high

    def encode(self, cells: Cells) -> np.ndarray:
        x = cells.numbers
        cells.refuse(~np.isfinite(x), "which is not a finite number; drop such rows")
        cells.refuse(x != np.floor(x), "but this column holds whole numbers; declare its kind 'real' to model fractions")
        cells.refuse(
            np.abs(x) > EXACT,
            f"a whole number beyond 2**53, which float64 can't hold; declare it real, shift it, or {leaving_out([cells.name])}",
        )
        self.inside(cells, x)
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        return numeric(self.kept(x), self.dtype)

    def shown(self, x: float) -> str:
        return f"{x:.0f}"

    def words(self) -> str:
        if self.levels is not None:
            return f"whole numbers from {self.low:.0f} to {self.high:.0f}"
        return "whole numbers" if self.low is None else f"whole numbers from {self.low:.0f} on"
