"""Values of any kind, some of which are missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from ..cells import Cells
from .base import Kind, Support
from .real import Real


@dataclass(frozen=True, kw_only=True)
class Maybe(Kind):
    """Another kind, with gaps: NaN among the encoded numbers, null among the values.

    Attributes:
        of: the kind of the values that are there.
        ignorable: whether a gap is a value that is there and not known, and no outcome that a model has to give a probability to.
    """

    name: ClassVar[str] = "maybe"
    of: Kind = field(default_factory=Real)
    ignorable: bool = False

    @classmethod
    def infer(cls, cells: Cells) -> None:
        """Never by itself: see :meth:`around`."""
        return None

    @classmethod
    def around(cls, kind: Kind, ignorable: bool = False) -> Maybe:
        """A kind with gaps."""
        return cls(dtype=kind.dtype, seen=kind.seen, of=kind, ignorable=ignorable)

    def encode(self, cells: Cells) -> np.ndarray:
        x = np.full(len(cells), np.nan)
        if not cells.absent.all():
            x[~cells.absent] = self.of.encode(cells.present())
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        return self.of.decode(x)

    def shown(self, x: float) -> str:
        return "missing" if np.isnan(x) else self.of.shown(x)

    def support(self) -> Support:
        return replace(self.of.support(), missing=True, ignorable=self.ignorable)

    def words(self) -> str:
        return f"{self.of.words()}, with gaps{' that are not modelled' * self.ignorable}"

    @property
    def step(self) -> float:
        return self.of.step

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self.of.labels

    @property
    def levels(self) -> int | None:
        return self.of.levels

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        return self.of.moments(x)

    def measure(self, x: np.ndarray) -> Self:
        known = self.of.measure(x)
        return replace(self, of=known, seen=known.seen)

    def check(self) -> None:
        super().check()
        self.of.check()

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"of": self.of.to_json()}
