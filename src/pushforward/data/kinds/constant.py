"""A value that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ..cells import Cells, strings, unpacked
from ..compute import pc
from ..errors import leaving_out
from ..restore import arrow_type
from .base import Kind, Support


@dataclass(frozen=True, kw_only=True)
class Constant(Kind):
    """One value, encoded as 0: it takes no part in the density, and comes back as it was.

    Attributes:
        value: as text; of times the ticks of their type.
    """

    name: ClassVar[str] = "constant"
    value: str = ""

    @classmethod
    def infer(cls, cells: Cells) -> Constant | None:
        values = _texts(cells.values)
        return cls(dtype=str(cells.dtype), value=values[0].as_py()) if len(pc.unique(values)) == 1 else None

    def encode(self, cells: Cells) -> np.ndarray:
        own = unpacked(pa.chunked_array([self._values(1)]))
        values = cells.plain
        if values.type != own.type:
            try:
                values = values.cast(own.type)
            except pa.ArrowException:  # then it is another value
                cells.refuse(np.ones(len(cells), bool), self._otherwise(cells))
        other = pc.not_equal(_texts(values), self.value).to_numpy()
        cells.refuse(other, self._otherwise(cells))
        return np.zeros(len(cells))

    def decode(self, x: np.ndarray) -> pa.Array:
        values = self._values(len(x))
        return pc.if_else(pa.array(np.isnan(x)), pa.scalar(None, values.type), values) if np.isnan(x).any() else values

    def shown(self, x: float) -> str:
        return str(self._values(1)[0].as_py())

    def support(self) -> Support:
        return Support(ordered=False, whole=True, low=0.0, high=0.0, closed=True)

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    def words(self) -> str:
        return f"always {self.shown(0.0)}"

    def _otherwise(self, cells: Cells) -> str:
        return f"but this column was always {self.shown(0.0)} in training; drop the row, or {leaving_out([cells.name])}"

    def _values(self, rows: int) -> pa.Array:
        dtype = arrow_type(self.dtype)
        plain = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
        words = pa.array([self.value], pa.string())
        one = words.cast(_ticks(plain)).cast(plain) if pa.types.is_temporal(plain) else words.cast(plain)
        if pa.types.is_dictionary(dtype):
            zeros = pa.array(np.zeros(rows, np.int64)).cast(dtype.index_type)
            return pa.DictionaryArray.from_arrays(zeros, one, ordered=dtype.ordered)
        return one.take(pa.array(np.zeros(rows, np.int64)))


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    values = unpacked(values)
    return strings(values.cast(_ticks(values.type)) if pa.types.is_temporal(values.type) else values)


def _ticks(dtype: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_date32(dtype) or pa.types.is_time32(dtype) else pa.int64()
