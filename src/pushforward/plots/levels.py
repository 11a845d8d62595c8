"""The values of a column that are few enough to be named: the most frequent of them, the others as one, and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .style import shorten

FEW_LEVELS = 12  # that a picture names


@dataclass(frozen=True)
class Levels:
    """Which of a column's encoded numbers have a place of their own in a picture.

    Attributes:
        names: as a person reads them; then "other" and "missing", where there are such.
        values: the encoded numbers of those that are named.
    """

    names: list[str]
    values: np.ndarray

    @classmethod
    def of(cls, column: Any, x: np.ndarray, most: int = FEW_LEVELS) -> Levels:
        """The most frequent ones in x ``(n,)`` first; in their own order where they have one."""
        support = column.kind.support()
        values = np.arange(column.levels) + (support.low or 0.0)
        counts = np.bincount((x[~np.isnan(x)] - values[0]).astype(int), minlength=len(values))
        kept = np.argsort(-counts, kind="stable")[: most if len(values) <= most else most - 1]
        kept = np.sort(kept) if support.ordered else kept
        rest = ["other"] * (len(kept) < len(values)) + ["missing"] * support.missing
        return cls([shorten(column.kind.shown(v)) for v in values[kept]] + rest, values[kept])

    def places(self, x: np.ndarray) -> np.ndarray:
        """The place of each number among the names, ``(n,)``."""
        same = x[:, None] == self.values
        return np.where(np.isnan(x), len(self.names) - 1, np.where(same.any(1), same.argmax(1), len(self.values)))

    def shares(self, x: np.ndarray) -> np.ndarray:
        """The share of each name in x ``(n,)``."""
        return np.bincount(self.places(x), minlength=len(self.names)) / max(1, len(x))


def few(column: Any) -> bool:
    """Whether a column's values are names, or whole numbers of a small closed set."""
    return column.vocabulary is not None or (column.levels or FEW_LEVELS + 1) <= FEW_LEVELS
