"""Files of rows, by their ending, as Arrow tables; what comes from outside is checked before anything is computed with it."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from ..words import listing
from .arrays import from_arrays
from .delimited import ending_of, read_delimited
from .errors import DataError, check_memory, reading
from .json_lines import read_json_lines
from .reading import Reading
from .source import Source

PART = "read a part of it"
ROWS_AT_ONCE = 65_536  # rows of a file in memory, where all of them need not be


def read_file(path: Path, how: Reading) -> Source:
    """The table in a file.

    Raises:
        DataError: the file is missing, of an unknown ending, damaged, or larger than memory.
    """
    reader = READERS.get(path.suffix.lower())
    if not reader and ending_of(path) not in TEXT:
        raise DataError(f"load: can't read {path}: unknown ending {path.suffix!r}; use one of {listing([*TEXT, *READERS], 20)}")
    if not path.is_file():
        raise DataError(f"load: there is no file {path}; check the path")
    with reading(f"load: {path}", path.suffix):
        source = reader(path) if reader else TEXT[ending_of(path)](path, how)
        source.table.schema.names  # noqa: B018 -- names that are no text are refused here
        return source


def checked(table: pa.Table | pa.RecordBatch) -> pa.Table | pa.RecordBatch:
    """Itself, after every offset, length and text in it was looked at: damaged ones would crash whoever computes with them."""
    table.validate(full=True)
    return table


def parquet_batches(
    path: Path, rows: int, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The checked batches of a Parquet file, or of some of its row groups, at most ``rows`` rows each; an empty one of a file without rows.

    Raises:
        DataError: the file is damaged; batches from before the damage may have been given.
    """
    with reading(f"load: {path}", ".parquet"), pq.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            schema = file.schema_arrow
            yield pa.RecordBatch.from_pylist([], schema if columns is None else pa.schema([schema.field(name) for name in columns]))
        for batch in file.iter_batches(rows, row_groups=groups, columns=columns):
            yield checked(batch)


def read_array(path: Path, held: float = math.inf) -> np.ndarray:
    """The array in a .npy file, left there if it is of more bytes than are ``held``; nothing is unpickled."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(found) if found.nbytes <= held else found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an .npz file by name; nothing is unpickled."""
    with zipfile.ZipFile(path) as archive:
        check_memory(f"load: {path}", sum(entry.file_size for entry in archive.infolist()), PART)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    bad = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if bad:
        raise DataError(f"load: {path} holds {listing(map(repr, bad))}, which is no array; leave it out")
    return arrays


def parquet_as_it_is(path: Path) -> pa.Table:
    """All of a Parquet file, with what its schema says.

    Raises:
        DataError: it can't be read, or is larger than the memory.
    """
    with reading(f"load: {path}", "Parquet"):
        return _read_parquet(path).table


def _read_parquet(path: Path) -> Source:
    with pq.ParquetFile(path) as file:
        bits = [kind.bit_width if pa.types.is_primitive(kind) else 8 for kind in file.schema_arrow.types]
        check_memory(f"load: {path}", file.metadata.num_rows * sum(bits) // 8, PART)
        return Source(path.name, checked(file.read()))


def _read_arrow(path: Path) -> Source:
    try:
        table = pyarrow.feather.read_table(path, memory_map=False)
    except pa.ArrowInvalid:  # a stream instead of a file
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all()
    return Source(path.name, checked(table))


def _read_npy(path: Path) -> Source:
    return from_arrays(path.name, {"x": read_array(path)})


def _read_npz(path: Path) -> Source:
    arrays = read_arrays(path)
    return from_arrays(path.name, {"x": next(iter(arrays.values()))} if len(arrays) == 1 else arrays, named=len(arrays) > 1)


TEXT: dict[str, Callable[[Path, Reading], Source]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".data": read_delimited,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}
READERS: dict[str, Callable[[Path], Source]] = {
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".npy": _read_npy,
    ".npz": _read_npz,
}
