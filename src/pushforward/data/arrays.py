"""Arrays as tables: of any byte order, masked, structured, of objects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ..words import listing
from .errors import DataError, reading
from .source import Source


def from_arrays(name: str, arrays: Mapping[str, np.ndarray], named: bool = False) -> Source:
    """Arrays side by side: a vector is one column, a matrix NAME its columns NAME0, NAME1, ...; what is masked is missing.

    A structured array has its fields for columns.
    """
    columns: dict[str, pa.Array] = {}
    for key, array in arrays.items():
        if array.dtype.names and array.ndim == 1:
            fields = {field: array[field] for field in array.dtype.names}
            return from_arrays(name, fields, named=True)
        array = exact(f"{name}: {key!r}", array)
        if array.dtype.kind not in "biufUOMm" or array.ndim not in (1, 2):
            raise DataError(
                f"{name}: expected numbers of shape (rows, columns), got {array.dtype} {array.shape} in {key!r}; reshape or convert them"
            )
        if named and array.ndim == 1:
            columns[key] = _arrow(name, array)
        else:
            matrix = array if array.ndim == 2 else array[:, None]
            columns |= {f"{key}{i}": _arrow(name, matrix[:, i]) for i in range(matrix.shape[1])}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{name}: its arrays have {listing(sorted(map(str, lengths)))} rows; give arrays of equal length")
    return Source(name, pa.table(columns), named)


def exact(where: str, array: np.ndarray) -> np.ndarray:
    """The same numbers or text as an array of a type that Arrow knows; a masked array stays one.

    Raises:
        DataError: there is no type that holds them exactly.
    """
    masked = isinstance(array, np.ma.MaskedArray)
    array = np.ma.asarray(array) if masked else np.asarray(array)  # not np.matrix, whose columns are matrices
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize > 8:  # long double
        dtype = np.dtype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            same = array == array.astype(dtype)
        if not (same | (array != array)).all():
            raise DataError(f"{where} holds {array.dtype} numbers of more digits than float64 has; round them to float64")
    return array.astype(dtype, copy=False)


def _arrow(name: str, column: np.ndarray) -> pa.Array:
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    plain = np.ascontiguousarray(np.ma.getdata(column))
    with reading(f"load: {name}", "a column", "give numbers, text or times, of one sort in each column"):
        array = pa.array(plain, mask=mask, from_pandas=plain.dtype.kind == "O")
        if pa.types.is_nested(array.type):
            raise ValueError(f"it holds {array.type}")
        return array
