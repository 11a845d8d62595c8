"""Any source of rows as an Arrow table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..words import listing, nearest
from .errors import DataError
from .formats import read_file
from .objects import from_object
from .parts import parts_of, read_parts
from .query import is_query, read_query
from .reading import Reading
from .source import Source, check_unique

IN_MEMORY = "in memory"  # what a run remembers of data that came as an array or a table


def read(source: Any, reading: Reading | Mapping[str, Any] | None = None) -> Source:
    """A path, several, a query, an array, tensor, data frame or Arrow table as a :class:`Source`.

    Files by their ending: text in ``.csv``, ``.tsv``, ``.txt``, ``.data``, ``.jsonl``, ``.ndjson``, also compressed (``.gz``, ``.zst``,
    ``.bz2``), and ``.parquet``, ``.arrow``, ``.feather``, ``.npy``, ``.npz``; nothing is unpickled. Separator, quotes, header, encoding and
    types of text are found out, or said in ``reading``; unnamed columns are called x0, x1, ... A folder, a pattern with ``*`` or a list of
    paths is one table; a query begins with SELECT or WITH and reads local files.

    Raises:
        DataError: a file is missing, of an unknown ending or broken, or the object is no table.
    """
    if isinstance(source, Source):
        return source
    reading = Reading.of(reading)
    if is_query(source):
        return _plain(read_query(source, reading))
    paths = parts_of(source)
    if paths is not None:
        return _plain(read_parts(paths, f"{_called(source)} ({len(paths)} files)" if len(paths) > 1 else paths[0].name, reading))
    if isinstance(source, str | Path):
        return _plain(read_file(Path(source), reading))
    return _plain(from_object(source))


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


def _called(source: Any) -> str:
    return Path(source).name if isinstance(source, str | Path) else Path(source[0]).parent.name or "list"


def _plain(source: Source) -> Source:
    """The same table without a data frame's index, views and columns of nothing: the types that columns are made of."""
    check_unique(source.name, source.table.column_names)
    table, notes = _without_index(source.table)
    for i, field in enumerate(table.schema):
        dtype = _kept(field.type)
        if dtype != field.type:
            with suppress(pa.ArrowException):  # else it stays what it is, and is refused if it is asked for
                table = table.set_column(i, field.name, _cast(table.column(i), dtype))
    return Source(source.name, table, source.named, (*source.notes, *notes))


def _without_index(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table without the columns in which pandas keeps an index, and what to say of them."""
    index = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    with suppress(ValueError, KeyError, TypeError):  # somebody else's metadata
        found = json.loads((table.schema.metadata or {})[b"pandas"])["index_columns"]
        index += [name for name in found if isinstance(name, str) and name in table.column_names and name not in index]
    table = table.replace_schema_metadata(None)
    if len(index) == table.num_columns:
        return table, []
    told = [name for name in index if not name.startswith("__index_level_")]
    notes = [f"The data frame's index is no data: {listing(told)} (reset_index() makes it a column)."] if told else []
    return table.drop_columns(index), notes


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
