"""Positive numbers, and amounts that may be exactly zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ...core import Transform
from ...transforms import Elementwise
from ...univariate import Log
from ..cells import Cells
from .base import Support
from .decimal import digits_of
from .measured import Measured, atom_moments, float_dtype, room_for_atoms

ATOM = 0.01  # share of a single value from which it is no coincidence
OTHERS = 10  # times as often as the usual value


@dataclass(frozen=True, kw_only=True)
class NonNegative(Measured):
    """Numbers above zero, modelled in logarithms; or from zero on, where zero has a probability of its own.

    Attributes:
        zero: whether zero occurs.
    """

    name: ClassVar[str] = "positive"
    zero: bool = False

    @classmethod
    def infer(cls, cells: Cells) -> NonNegative | None:
        """Amounts with zeros; columns above zero are real, unless they are declared."""
        values, counts = cells.distinct
        return cls.of(cells) if values[0] == 0 and is_atom(counts, 0) else None

    @classmethod
    def of(cls, cells: Cells) -> NonNegative:
        """As it was declared."""
        return cls(dtype=float_dtype(cells), digits=digits_of(cells), zero=bool((cells.numbers == 0).any()))

    def encode(self, cells: Cells) -> np.ndarray:
        x = super().encode(cells)
        expected = "but this column is not negative" if self.zero else "but this column is positive"
        cells.refuse((x < 0) | (not self.zero and x == 0), f"{expected}; drop the row or declare the kind 'real'")
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        least = 0.0 if self.zero else self.inward(0.0, 1.0)
        return super().decode(np.maximum(x, least))

    def support(self) -> Support:
        return Support(ordered=True, whole=False, low=0.0, closed=self.zero)

    def words(self) -> str:
        return "amounts, exactly zero with a probability of its own" if self.zero else "positive numbers, modelled in logarithms"

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        return atom_moments(self, x) if self.zero else super().moments(np.log(x))

    def form(self) -> tuple[int, ...]:
        return (4,) if self.zero else (2,)

    def layer(self, group: Sequence[Any] = ()) -> Transform:
        return room_for_atoms(group or [self]) if self.zero else Elementwise(Log(), (len(group) or 1,))


def is_atom(counts: np.ndarray, which: int) -> bool:
    """Whether one of some real numbers is there so often, of itself and beside the others, that it has a probability."""
    return bool(counts[which] >= max(3, ATOM * counts.sum(), OTHERS * np.median(counts)))
