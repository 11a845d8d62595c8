"""Any source of rows as an Arrow table."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..words import listing, nearest
from .errors import DataError, reading
from .formats import Source, from_arrays, read_file

IN_MEMORY = "in memory"  # what a run remembers of data that came as an array or a table


def read(source: Any) -> Source:
    """A path, array, tensor, data frame or Arrow table as a :class:`Source`.

    Files by their ending: ``.csv``, ``.tsv``, ``.parquet``, ``.arrow``, ``.feather``, ``.npy``, ``.npz``; nothing is unpickled. A CSV file
    may be separated by commas, semicolons or tabs, and may lack a header if it is all numbers. Unnamed columns are called x0, x1, ...

    Raises:
        DataError: the file is missing, of an unknown ending or broken, or the object is no table.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str | Path):
        return _plain(read_file(Path(source)))
    if isinstance(source, torch.Tensor):
        return _plain(from_arrays("tensor", {"x": _from_tensor(source)}))
    if isinstance(source, np.ndarray):
        return _plain(from_arrays("array", {"x": source}))
    if isinstance(source, pa.Table):
        return _plain(Source("table", source))
    if type(source).__module__.split(".")[0] == "pandas" and hasattr(source, "to_frame"):  # a series
        source = source.to_frame()
    if type(source).__module__.split(".")[0] == "pandas":
        return _plain(_from_pandas(source.rename(columns=str)))
    if hasattr(source, "__arrow_c_stream__"):  # polars, DuckDB and others that speak Arrow
        with reading(f"load: {type(source).__name__}", "a table", "give a frame of numbers, times and text"):
            return _plain(Source("table", pa.table(source)))
    raise DataError(f"load: can't read rows from {type(source).__name__}; give a path, an array, a tensor, a data frame or an Arrow table")


def select(source: Source, names: list[str]) -> pa.Table:
    """These columns of a source, in this order.

    Raises:
        DataError: one is not there; the message has the nearest name.
    """
    have = source.table.column_names
    for name in names:
        if name not in have:
            hint = nearest(name, have) or f"; it has {listing(have)}"
            raise DataError(f"{source.name}: there is no column {name!r}{hint}")
    return source.table.select(names)


def _from_tensor(tensor: torch.Tensor) -> np.ndarray:
    with reading("load: the tensor", str(tensor.dtype), "give a dense tensor of numbers"):
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() < 4:  # bfloat16 and smaller, which NumPy has not
            tensor = tensor.float()
        return tensor.resolve_conj().resolve_neg().numpy()


def _from_pandas(frame: Any) -> Source:
    _unique("data frame", list(frame.columns))
    for name in frame.columns:
        try:
            pa.Array.from_pandas(frame[name])
        except Exception:  # what Arrow has no type for: as text, so that an error can name the row
            frame = frame.assign(**{name: frame[name].astype(object).map(str, na_action="ignore").astype("str")})
    return Source("data frame", pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))


def _plain(source: Source) -> Source:
    """The same table without views and columns of nothing: the types that columns are made of."""
    table = source.table
    _unique(source.name, table.column_names)
    for i, field in enumerate(table.schema):
        dtype = _kept(field.type)
        if dtype != field.type:
            with suppress(pa.ArrowException):  # else it stays what it is, and is refused if it is asked for
                table = table.set_column(i, field.name, _cast(table.column(i), dtype))
    return Source(source.name, table, source.named)


def _kept(dtype: pa.DataType) -> pa.DataType:
    """The type that a column is read as."""
    if pa.types.is_dictionary(dtype):
        return pa.dictionary(dtype.index_type, _kept(dtype.value_type), dtype.ordered)
    return pa.float64() if pa.types.is_null(dtype) else pa.string() if pa.types.is_string_view(dtype) else dtype


def _cast(values: pa.ChunkedArray, dtype: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(values.type):
        return values.cast(dtype)
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(dtype.value_type), ordered=dtype.ordered)
        for chunk in values.chunks
    ]
    return pa.chunked_array(chunks, dtype)


def _unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: more than one column is called {listing(map(repr, twice))}; rename them")
