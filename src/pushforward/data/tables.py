"""Any source of rows as an Arrow table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import torch

from ..words import listing, nearest
from .column import NUMBER
from .errors import DataError


@dataclass(frozen=True)
class Source:
    """A table, what to call it in messages, and whether its columns have names of their own."""

    name: str
    table: pa.Table
    named: bool = True


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
        return _plain(_read_file(Path(source)))
    if isinstance(source, torch.Tensor):
        return _plain(_from_arrays("tensor", {"x": source.detach().cpu().numpy()}))
    if isinstance(source, np.ndarray):
        return _plain(_from_arrays("array", {"x": source}))
    if isinstance(source, pa.Table):
        return _plain(Source("table", source))
    if type(source).__module__.split(".")[0] == "pandas":
        return _plain(_from_pandas(source.rename(columns=str)))
    if hasattr(source, "__arrow_c_stream__"):  # polars, DuckDB and others that speak Arrow
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


def _read_file(path: Path) -> Source:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"load: can't read {path}: unknown ending {path.suffix!r}; use one of {listing(READERS)}")
    if not path.is_file():
        raise DataError(f"load: there is no file {path}; check the path")
    try:
        return reader(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"load: {path} can't be read as {path.suffix} ({reason}); write the file again") from error


def _read_csv(path: Path) -> Source:
    with path.open("rb") as file:
        first = file.readline().decode("utf-8", "replace").rstrip("\r\n")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    headless = bool(first) and all(re.match(NUMBER, cell.strip('"')) for cell in first.split(delimiter))
    size = path.stat().st_size
    for block in (2**20, min(size + 1, 2**31 - 1)):  # types come from the first block; the second try takes the whole file for one
        try:
            table = pyarrow.csv.read_csv(
                path,
                pyarrow.csv.ReadOptions(autogenerate_column_names=headless, block_size=block),
                pyarrow.csv.ParseOptions(delimiter=delimiter),
                pyarrow.csv.ConvertOptions(strings_can_be_null=True),
            )
            break
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error) or block > size:
                raise
    if headless:
        table = table.rename_columns([f"x{i}" for i in range(table.num_columns)])
    return Source(path.name, table, named=not headless)


def _read_parquet(path: Path) -> Source:
    return Source(path.name, pyarrow.parquet.read_table(path))


def _read_arrow(path: Path) -> Source:
    try:
        return Source(path.name, pyarrow.feather.read_table(path, memory_map=False))
    except pa.ArrowInvalid:  # a stream instead of a file
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            return Source(path.name, stream.read_all())


def _read_npy(path: Path) -> Source:
    return _from_arrays(path.name, {"x": np.load(path, allow_pickle=False)})


def _read_npz(path: Path) -> Source:
    with np.load(path, allow_pickle=False) as arrays:
        if len(arrays.files) == 1:
            return _from_arrays(path.name, {"x": arrays[arrays.files[0]]})
        return _from_arrays(path.name, {name: arrays[name] for name in arrays.files}, named=True)


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".npy": _read_npy,
    ".npz": _read_npz,
}


def _from_arrays(name: str, arrays: dict[str, np.ndarray], named: bool = False) -> Source:
    """Arrays side by side: a vector is one column, a matrix NAME its columns NAME0, NAME1, ..."""
    columns: dict[str, pa.Array] = {}
    for key, array in arrays.items():
        if array.dtype.kind not in "biufU" or array.ndim not in (1, 2):
            raise DataError(
                f"{name}: expected numbers of shape (rows, columns), got {array.dtype} {array.shape} in {key!r}; reshape or convert them"
            )
        if named and array.ndim == 1:
            columns[key] = pa.array(array)
        else:
            matrix = array.reshape(len(array), -1)
            columns |= {f"{key}{i}": pa.array(np.ascontiguousarray(matrix[:, i])) for i in range(matrix.shape[1])}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{name}: its arrays have {listing(sorted(map(str, lengths)))} rows; give arrays of equal length")
    return Source(name, pa.table(columns), named)


def _from_pandas(frame: Any) -> Source:
    _unique("data frame", list(frame.columns))
    for name in frame.columns:
        try:
            pa.Array.from_pandas(frame[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # mixed objects: as text, so that an error can name the row
            frame = frame.assign(**{name: frame[name].map(str, na_action="ignore").astype("str")})
    return Source("data frame", pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))


def _plain(source: Source) -> Source:
    """The same table without dictionaries, decimals and views: the types that columns are made of."""
    table = source.table
    _unique(source.name, table.column_names)
    for i, field in enumerate(table.schema):
        dtype = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_decimal(dtype) or pa.types.is_null(dtype):
            dtype = pa.float64()
        elif pa.types.is_string_view(dtype):
            dtype = pa.string()
        if dtype != field.type:
            table = table.set_column(i, field.name, table.column(i).cast(dtype))
    return Source(source.name, table, source.named)


def _unique(where: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: more than one column is called {listing(map(repr, twice))}; rename them")
