"""Objects in memory as tables: tensors, data frames and series, dicts and lists of Python, whatever speaks Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..words import listing
from .arrays import from_arrays
from .errors import DataError, reading
from .source import Source, check_unique


def from_object(source: Any) -> Source:
    """An array, a tensor, a data frame, a series, a dict of columns, a list of dicts or an Arrow table as it is.

    Raises:
        DataError: it is none of them, or holds what no column can.
    """
    library = type(source).__module__.partition(".")[0]
    if library in ("pandas", "polars") and hasattr(source, "to_frame"):  # a series, or an index
        source = source.to_frame()
    if isinstance(source, torch.Tensor):
        return from_arrays("tensor", {"x": _from_tensor(source)})
    if isinstance(source, np.ndarray):
        return from_arrays("array", {"x": source})
    if isinstance(source, pa.Table | pa.RecordBatch):
        return Source("table", pa.table(source))
    if isinstance(source, Mapping):
        return _from_columns("dict", source)
    if isinstance(source, list) and source and all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(name for row in source for name in row)
        return _from_columns("list of dicts", {name: [row.get(name) for row in source] for name in names})
    if library == "pandas":
        return _from_pandas(source)
    if hasattr(source, "__arrow_c_stream__"):  # polars, DuckDB and others that speak Arrow
        with reading(f"load: {type(source).__name__}", "a table", "give a frame of numbers, times and text"):
            return Source("table", pa.table(source))
    remedy = "give a path, an array, a tensor, a data frame, a dict of columns, a list of dicts or an Arrow table"
    raise DataError(f"load: can't read rows from {type(source).__name__}; {remedy}")


def _from_tensor(tensor: torch.Tensor) -> np.ndarray:
    with reading("load: the tensor", str(tensor.dtype), "give a dense tensor of numbers"):
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() < 4:  # bfloat16 and smaller, which NumPy has not
            tensor = tensor.float()
        return tensor.resolve_conj().resolve_neg().numpy()


def _from_columns(kind: str, given: Mapping[Any, Any]) -> Source:
    """A dict of columns, each an array, a tensor, or values of Python."""
    check_unique(kind, list(map(str, given)))
    columns: dict[str, Any] = {}
    for name, values in given.items():
        values = _from_tensor(values) if isinstance(values, torch.Tensor) else values
        if isinstance(values, np.ndarray):
            table = from_arrays(kind, {str(name): values}, named=True).table
            columns |= dict(zip(table.column_names, table.columns))
            continue
        with reading(f"load: {kind}: {str(name)!r}", "a column", "give a list of numbers, text or times, of one sort"):
            columns[str(name)] = pa.array(values, from_pandas=True)
    with reading(f"load: {kind}", "a table", "give columns of equal length"):
        return Source(kind, pa.table(columns))


def _from_pandas(frame: Any) -> Source:
    """A frame without its index; periods become the times when they begin, and what Arrow has no type for text."""
    import pandas as pd

    notes = []
    if frame.columns.nlevels > 1:
        frame = frame.set_axis([" ".join(str(level) for level in name if str(level)) for name in frame.columns], axis=1)
        notes.append(f"Names of several levels were joined by blanks: {listing(frame.columns, 3)}.")
    frame = frame.rename(columns=str)
    check_unique("data frame", list(frame.columns))
    if any(name is not None for name in frame.index.names):
        notes.append(f"The index is no data: {listing(map(str, frame.index.names))} (reset_index() makes it a column).")
    changed = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.PeriodDtype):
            changed[name] = column.dt.to_timestamp()
            notes.append(f"Periods were read as the times when they begin: {name}.")
        elif isinstance(column.dtype, pd.CategoricalDtype) and isinstance(column.cat.categories.dtype, pd.IntervalDtype):
            changed[name] = column.cat.rename_categories(str)  # of pd.cut
        elif isinstance(column.dtype, pd.IntervalDtype):
            changed[name] = column.map(str, na_action="ignore")
        else:
            try:
                pa.Array.from_pandas(column)
            except Exception:  # whatever Arrow and pandas make of their objects: as text, so that an error can name the row
                changed[name] = column.astype(object).map(str, na_action="ignore").astype("str")
    return Source("data frame", pa.Table.from_pandas(frame.assign(**changed), preserve_index=False), notes=tuple(notes))
