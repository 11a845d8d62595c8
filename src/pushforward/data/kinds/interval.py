"""Real numbers between two ends, which may occur themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...core import Transform
from ..cells import Cells
from ..errors import DataError
from .base import Support
from .decimal import digits_of
from .measured import Measured, atom_moments, float_dtype, logits, room_for_atoms
from .positive import is_atom

SHARES = (1.0, 100.0)  # shares and percentages


@dataclass(frozen=True, kw_only=True)
class Interval(Measured):
    """Numbers between two ends, modelled through a logit; an end that occurs has a probability of its own.

    Attributes:
        low, high: the ends.
        at_low, at_high: whether they occur.
    """

    name: ClassVar[str] = "interval"
    low: float = 0.0
    high: float = 1.0
    at_low: bool = False
    at_high: bool = False

    @classmethod
    def infer(cls, cells: Cells) -> Interval | None:
        """Shares and percentages of which many are exactly at the upper end; others are real, unless they are declared."""
        values, counts = cells.distinct
        high = next((high for high in SHARES if values[-1] == high), None)
        return cls.of(cells, 0.0, high) if high and values[0] >= 0 and is_atom(counts, -1) else None

    @classmethod
    def of(cls, cells: Cells, low: float, high: float) -> Interval:
        """As it was declared; closed at the ends that occur."""
        x = cells.numbers
        at_low, at_high = bool((x == low).any()), bool((x == high).any())
        return cls(dtype=float_dtype(cells), digits=digits_of(cells), low=low, high=high, at_low=at_low, at_high=at_high)

    def encode(self, cells: Cells) -> np.ndarray:
        x = super().encode(cells)
        inside = (self.low < x) & (x < self.high) | (self.at_low & (x == self.low)) | (self.at_high & (x == self.high))
        cells.refuse(~inside, f"not inside the declared interval {self._written()}; drop the row or declare interval:LOW:HIGH wider")
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        low = self.low if self.at_low else self.inward(self.low, self.high)
        return super().decode(np.clip(x, low, self.high if self.at_high else self.inward(self.high, self.low)))

    def support(self) -> Support:
        return Support(ordered=True, whole=False, low=self.low, high=self.high, closed=self.at_low or self.at_high)

    def words(self) -> str:
        atoms = [f"{end:g}" for end, there in ((self.low, self.at_low), (self.high, self.at_high)) if there]
        if atoms:
            return f"between {self.low:g} and {self.high:g}, exactly {' and '.join(atoms)} with a probability of its own"
        return f"between {self.low:g} and {self.high:g}, modelled through a logit"

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        return atom_moments(self, x) if self.support().closed else super().moments(np.log((x - self.low) / (self.high - x)))

    def form(self) -> tuple[int, ...]:
        return (4,) if self.support().closed else (3,)

    def layer(self, group: Sequence[Any] = ()) -> Transform:
        group = group or [self]
        return room_for_atoms(group) if self.support().closed else logits([kind.ends for kind in group])

    @property
    def ends(self) -> tuple[float, float]:
        """Of the open interval that has a logit."""
        return self.low, self.high

    def check(self) -> None:
        super().check()
        if not -np.inf < self.low < self.high < np.inf:
            raise DataError(f"expected an interval's ends, got {self.low} and {self.high}")

    def _written(self) -> str:
        return f"{'[' if self.at_low else '('}{self.low:g}, {self.high:g}{']' if self.at_high else ')'}"
