"""What kinds of whole numbers have in common: probabilities, and ends that may be closed."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import Chain, Transform
from ...transforms import Dequantize, Elementwise, Standardize
from ...univariate import Logit
from ..cells import EXACT, Cells
from ..errors import DataError
from .base import Kind, Support

POINTS = 2000  # of the midpoint rule within one level
MOST_LEVELS = 100  # of a set that is closed because all of it was seen
PER_LEVEL = 20  # rows for each of these levels, below which not having seen more says little
UNSEEN = 8  # rows that a value beyond an end would have been expected in, from which its absence says that there is none


@dataclass(frozen=True, kw_only=True)
class Counted(Kind):
    """Whole numbers, dequantized by uniform noise for flows; a closed set goes through a logit too, so that nothing outside is possible."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float | None, float | None]:
        """The smallest and the largest encoded number there can be."""

    @property
    def levels(self) -> int | None:
        low, high = self.ends
        return None if low is None or high is None else int(high - low) + 1

    def support(self) -> Support:
        low, high = self.ends
        return Support(ordered=True, whole=True, low=low, high=high, closed=self.levels is not None)

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        """Exact ones: of ``x + u``, or of ``logit((x + u) / levels)`` by quadrature over u."""
        if self.levels is None:
            return float(x.mean()) + 0.5, math.sqrt(float(x.var()) + 1 / 12)
        values, counts = np.unique(x - (self.ends[0] or 0.0), return_counts=True)
        points = min(POINTS, max(1, 10_000_000 // len(values)))
        t = (values[:, None] + (np.arange(points) + 0.5) / points) / self.levels
        z, share = np.log(t) - np.log1p(-t), counts / len(x)
        mean = float(share @ z.mean(1))
        return mean, math.sqrt(float(share @ ((z - mean) ** 2).mean(1)))

    def form(self) -> tuple[int, ...]:
        return (1,) if self.levels is None else (0, self.levels, int(self.ends[0] != 0))

    def layer(self, group: Sequence[Any] = ()) -> Transform:
        if self.levels is None:
            return Dequantize()
        lows = [kind.ends[0] for kind in group or [self]]
        start = [Standardize(lows, [1.0] * len(lows))] if any(lows) else []
        return Chain(*start, Dequantize(self.levels), Standardize(0.0, float(self.levels)), Elementwise(Logit(), (len(lows),)))

    def check(self) -> None:
        super().check()
        low, high = self.ends
        if not all(end is None or (abs(end) <= EXACT and end == int(end)) for end in (low, high)) or not 1 <= (self.levels or 1) <= EXACT:
            raise DataError(f"expected whole numbers as ends, the smaller first, got {low} and {high}")

    @property
    def most(self) -> int:
        """The largest number, of either sign, that the column's type can hold where there are no ends."""
        return EXACT

    def kept(self, x: np.ndarray) -> np.ndarray:
        """The nearest whole numbers between the ends; NaN stays."""
        low, high = self.ends
        return np.clip(np.rint(x), -self.most if low is None else low, self.most if high is None else high)

    def inside(self, cells: Cells, counts: np.ndarray) -> None:
        """Raise DataError if one of the encoded numbers is outside of the ends."""
        low, high = (None if end is None else self.shown(end) for end in self.ends)
        bad = counts != self.kept(counts)
        if low is not None and high is not None:
            cells.refuse(bad, f"outside the levels {low}..{high} of this column; drop the row or declare another kind at the fit")
        cells.refuse(bad, f"but this column does not go {'above ' + str(high) if low is None else f'below {low}'}; drop the row")


def ends_of(values: np.ndarray, counts: np.ndarray) -> tuple[float | None, float | None]:
    """The ends that distinct whole numbers, ascending, suggest by how often they are there.

    A few consecutive numbers, as ratings or months, are closed where the next would have been seen had the counts gone on falling as they
    do at the end; zero is always an end. Otherwise nothing is below zero if nothing was.
    """
    span, rows = int(values[-1]) - int(values[0]) + 1, int(counts.sum())
    if 1 < span == len(values) and (span <= 2 or (span <= MOST_LEVELS and rows >= PER_LEVEL * span)):
        beyond = [last * min(1.0, last / previous) for last, previous in ((counts[0], counts[1]), (counts[-1], counts[-2]))]
        if span <= 2 or (beyond[1] >= UNSEEN and (values[0] == 0 or beyond[0] >= UNSEEN)):
            return float(values[0]), float(values[-1])
    return (0.0 if values[0] >= 0 else None), None
