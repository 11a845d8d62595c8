"""One column of a table: a name, and a kind that says what its values mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .errors import DataError
from .kinds import Kind, Real, kind_from_json
from .kinds.base import LEAST
from .old_columns import renewed


@dataclass(frozen=True)
class Column:
    """A name, and the kind of what stands under it: see :mod:`pushforward.data.kinds`.

    Example::

        >>> from pushforward.data.kinds import Integer
        >>> Column("grade", Integer(low=1, high=5)).levels
        5
    """

    name: str
    kind: Kind = field(default_factory=Real)

    @property
    def discrete(self) -> bool:
        """Whole numbers, which have probabilities instead of densities."""
        return self.kind.discrete

    @property
    def dtype(self) -> str:
        """The Arrow type of decoded values."""
        return self.kind.dtype

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The words that codes stand for; None for other kinds than categories."""
        return self.kind.labels

    @property
    def levels(self) -> int | None:
        """How many whole numbers there can be; None where they have no end."""
        return self.kind.levels

    @property
    def step(self) -> float:
        """What one count is worth; of times in seconds."""
        return self.kind.step

    @property
    def mean(self) -> float:
        """Of the train split, after the kind's layer."""
        return self.kind.seen.mean

    @property
    def std(self) -> float:
        """Of the train split, after the kind's layer."""
        return self.kind.seen.std

    @property
    def scale(self) -> float:
        """The standard deviation of the encoded numbers of the train split."""
        return self.kind.seen.scale

    @property
    def minimum(self) -> float:
        """Of the encoded numbers of the train split."""
        return self.kind.seen.minimum

    @property
    def maximum(self) -> float:
        """Of the encoded numbers of the train split."""
        return self.kind.seen.maximum

    @property
    def distinct(self) -> int:
        """Distinct numbers in the train split."""
        return self.kind.seen.distinct

    def measured(self, x: np.ndarray, where: str) -> Column:
        """The column with the statistics of its train split ``(N,)``.

        Raises:
            DataError: the numbers of a source named ``where`` are so large or so small that their squares leave float64.
        """
        kind = self.kind.measure(x)
        seen = kind.seen
        if not (math.isfinite(seen.mean) and LEAST < seen.std < math.inf and math.isfinite(seen.scale)):
            raise DataError(
                f"{where}: the numbers of column {self.name!r}, from {seen.minimum:g} to {seen.maximum:g}, are too large or too close "
                "together for their deviation to be taken; drop the extreme rows, or rescale the column to numbers near 1"
            )
        return replace(self, kind=kind)

    def check(self) -> None:
        """Raise DataError if a column, as somebody described it, can't be one."""
        try:
            self.kind.check()
            self.kind.decode(np.zeros(1))
        except pa.ArrowException:
            raise DataError(f"column {self.name!r}: it holds values that are not of type {self.kind.dtype}") from None
        except ValueError as error:
            raise DataError(f"column {self.name!r}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """The column as what JSON can hold."""
        return {"name": self.name, "kind": self.kind.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> Column:
        """The column that :meth:`to_json` described, or a release before kinds were objects.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise DataError(f"expected a column, got {value!r:.60}")
        described = renewed(value) if isinstance(value.get("kind"), str) else value.get("kind")
        column = cls(value["name"], kind_from_json(described))
        column.check()
        return column
