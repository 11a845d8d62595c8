"""What a column means: a kind turns its values into numbers and back, and says what these numbers may be."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from ...core import Transform
from ...transforms import Support
from ..cells import Cells
from ..errors import DataError
from ..restore import arrow_type

LEAST = 1e-150  # a deviation whose square has all its digits


@dataclass(frozen=True)
class Statistics:
    """Of a column's train split.

    Attributes:
        mean, std: after the kind's layer (what Standardize uses).
        scale: the standard deviation of the encoded numbers; 0 if they never change.
        minimum, maximum: of the encoded numbers.
        distinct: how many different ones there are.
    """

    mean: float = 0.0
    std: float = 1.0
    scale: float = 1.0
    minimum: float = 0.0
    maximum: float = 0.0
    distinct: int = 0


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """The meaning of a column: ``decode(encode(v)) == v``, type included, for every value that :meth:`encode` accepts.

    A kind is one file: a frozen dataclass whose fields are all that a run must remember of it.

    Attributes:
        dtype: the Arrow type of the values, as text.
        seen: statistics of the train split.
    """

    name: ClassVar[str]
    dtype: str = "double"
    seen: Statistics = Statistics()

    @classmethod
    @abstractmethod
    def infer(cls, cells: Cells) -> Kind | None:
        """The kind that these cells make, none of which is absent; None if they are not of this kind."""

    @abstractmethod
    def encode(self, cells: Cells) -> np.ndarray:
        """The values as float64 ``(N,)``, one number each.

        Raises:
            DataError: a value is not what the column holds; its row is named.
        """

    @abstractmethod
    def decode(self, x: np.ndarray) -> pa.Array:
        """Numbers ``(N,)`` as values of the column's own type: what :meth:`encode` gives comes back, others as the nearest value."""

    @abstractmethod
    def support(self) -> Support:
        """What encoded numbers may be."""

    @abstractmethod
    def words(self) -> str:
        """A phrase for notes and tables."""

    def shown(self, x: float) -> str:
        """An encoded number as a person reads it."""
        return str(self.decode(np.array([x]))[0].as_py())

    @property
    def discrete(self) -> bool:
        """Whole numbers, which have probabilities instead of densities."""
        return self.support().whole

    @property
    def step(self) -> float:
        """What one count is worth, in the units of the data (seconds for times)."""
        return 1

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The words that codes stand for, if they stand for words."""
        return None

    @property
    def levels(self) -> int | None:
        """How many values there can be, if they are whole numbers of a closed set."""
        return None

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation of encoded numbers ``(N,)`` after :meth:`layer`."""
        return float(x.mean()), float(x.std())

    def measure(self, x: np.ndarray) -> Self:
        """The kind with statistics of the encoded numbers of a train split ``(N,)``, taken in float64; gaps are left out.

        Numbers that never change are given the deviation 1.
        """
        x = x[~np.isnan(x)]
        if not len(x):
            return self
        distinct = len(np.unique(x))
        with np.errstate(over="ignore", under="ignore"):
            scale = float(x.std()) if distinct > 1 else 0.0
            known = replace(self, seen=Statistics(scale=scale, minimum=float(x.min()), maximum=float(x.max()), distinct=distinct))
            mean, std = known.moments(x)
        return replace(known, seen=replace(known.seen, mean=mean, std=std if distinct > 1 or self.discrete else 1.0))

    def form(self) -> tuple[int, ...] | None:
        """What columns must share to go through one :meth:`layer`, in the order of the layers; None if they need none."""
        return None

    def layer(self, group: Sequence[Any] = ()) -> Transform | None:
        """The layer from encoded numbers to the real line, for columns of kinds of one :meth:`form`; for this one if none are given."""
        return None

    def check(self) -> None:
        """Raise DataError if a kind, as somebody described it, can't be one."""
        numbers = [self.seen.mean, self.seen.std, self.seen.scale, self.seen.minimum, self.seen.maximum]
        if not all(map(math.isfinite, numbers)) or self.seen.std <= 0 or self.seen.scale < 0 or self.seen.distinct < 0:
            raise DataError("expected finite statistics and a positive standard deviation")
        try:
            dtype = arrow_type(self.dtype)
            plain = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
            if not pa.types.is_time(plain):  # which NumPy has not
                plain.to_pandas_dtype()
        except (ValueError, TypeError, NotImplementedError, AttributeError, pa.ArrowException) as error:
            raise DataError(f"there is no type {self.dtype!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The kind as what JSON can hold."""
        return {"kind": self.name} | {f.name: getattr(self, f.name) for f in fields(self)} | {"seen": asdict(self.seen)}
