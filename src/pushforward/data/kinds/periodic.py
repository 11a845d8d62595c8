"""Angles and other numbers on a circle."""

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
from .measured import Measured, float_dtype, logits

WIDENED = 1e-6  # of the circle, beyond each end, so that the ends have a logit


@dataclass(frozen=True, kw_only=True)
class Periodic(Measured):
    """Numbers on a circle, by declaration: ``low`` and ``high`` are the same point.

    Flows of the line cut the circle there, and take the numbers through a logit.

    Attributes:
        low, high: where the circle is cut.
    """

    name: ClassVar[str] = "periodic"
    low: float = 0.0
    high: float = 360.0

    @classmethod
    def infer(cls, cells: Cells) -> None:
        """Never: whether numbers go round is for people to say."""
        return None

    @classmethod
    def of(cls, cells: Cells, low: float, high: float) -> Periodic:
        """As it was declared."""
        return cls(dtype=float_dtype(cells), digits=digits_of(cells), low=low, high=high)

    def encode(self, cells: Cells) -> np.ndarray:
        x = super().encode(cells)
        cells.refuse(
            (x < self.low) | (x > self.high), f"but this column goes round from {self.low:g} to {self.high:g}; bring it into that range"
        )
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        turned = self.low + (x - self.low) % (self.high - self.low)
        return super().decode(np.where((x < self.low) | (x > self.high), turned, x))

    def support(self) -> Support:
        return Support(ordered=True, whole=False, low=self.low, high=self.high)

    def words(self) -> str:
        return f"on a circle from {self.low:g} to {self.high:g}"

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        low, high = self.ends
        return super().moments(np.log((x - low) / (high - x)))

    def form(self) -> tuple[int, ...]:
        return (3,)

    def layer(self, group: Sequence[Any] = ()) -> Transform:
        return logits([kind.ends for kind in group or [self]])

    def check(self) -> None:
        super().check()
        if not -np.inf < self.low < self.high < np.inf:
            raise DataError(f"expected the ends of a circle, got {self.low} and {self.high}")

    @property
    def ends(self) -> tuple[float, float]:
        """Of the open interval that has a logit: a little wider than the circle, whose ends then have one."""
        margin = WIDENED * (self.high - self.low)
        return self.low - margin, self.high + margin
