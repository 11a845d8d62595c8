"""Files of rows, by their ending, as Arrow tables; what comes from outside is checked before anything is computed with it."""

from __future__ import annotations

import codecs
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from ..words import listing, printable
from .cells import NUMBER
from .errors import DataError, check_memory, reading

ENCODINGS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
HEADER = 2**20  # bytes that the first line is looked for in
PART = "read a part of it"


@dataclass(frozen=True)
class Source:
    """A table, what to call it in messages, and whether its columns have names of their own."""

    name: str
    table: pa.Table
    named: bool = True


def read_file(path: Path) -> Source:
    """The table in a file.

    Raises:
        DataError: the file is missing, of an unknown ending, damaged, or larger than memory.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"load: can't read {path}: unknown ending {path.suffix!r}; use one of {listing(READERS)}")
    if not path.is_file():
        raise DataError(f"load: there is no file {path}; check the path")
    with reading(f"load: {path}", path.suffix):
        source = reader(path)
        source.table.schema.names  # noqa: B018 -- names that are no text are refused here
        return source


def checked(table: pa.Table | pa.RecordBatch) -> pa.Table | pa.RecordBatch:
    """Itself, after every offset, length and text in it was looked at: damaged ones would crash whoever computes with them."""
    table.validate(full=True)
    return table


def parquet_batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The checked batches of a Parquet file, at most ``rows`` rows each; an empty one of a file without rows.

    Raises:
        DataError: the file is damaged; batches from before the damage may have been given.
    """
    with reading(f"load: {path}", ".parquet"), pq.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            schema = file.schema_arrow
            yield pa.RecordBatch.from_pylist([], schema if columns is None else pa.schema([schema.field(name) for name in columns]))
        for batch in file.iter_batches(rows, columns=columns):
            yield checked(batch)


def read_array(path: Path) -> np.ndarray:
    """The array in a .npy file; nothing is unpickled, and no more memory is taken than the file is long."""
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False))


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


def _read_csv(path: Path) -> Source:
    with path.open("rb") as file:
        start = file.readline(HEADER)
    if found := next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), None):
        raise DataError(f"load: {path} is written in {found}; write the file as UTF-8")
    if b"\0" in start:
        raise DataError(f"load: the header of {path} holds NUL bytes, as UTF-16 has; write the file as UTF-8")
    try:
        first = codecs.getincrementaldecoder("utf-8-sig")().decode(start).rstrip("\r\n")  # which may end within a letter
    except UnicodeDecodeError as error:
        seen = printable(start[max(0, error.start - 10) :][:30].decode("cp1252", "replace"))
        guess = f"it looks like Latin-1 or Windows-1252 ({seen!r})"
        raise DataError(f"load: the header of {path} is not UTF-8, {guess}; write the file as UTF-8") from None
    bare = re.sub('"[^"]*"', "", first)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=bare.count)
    headless = bool(first) and all(re.match(NUMBER, cell.strip('"')) for cell in first.split(delimiter))
    size = path.stat().st_size
    for block in (2**20, min(size + 1, 2**31 - 1)):  # types come from the first block; the second try takes the whole file for one
        try:
            table = pyarrow.csv.read_csv(
                path,
                pyarrow.csv.ReadOptions(autogenerate_column_names=headless, block_size=block),
                pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=block > size),
                pyarrow.csv.ConvertOptions(strings_can_be_null=True),
            )
            break
        except pa.ArrowInvalid:
            if block > size:
                raise
    if headless:
        table = table.rename_columns([f"x{i}" for i in range(table.num_columns)])
    return Source(path.name, table, named=not headless)


def _read_parquet(path: Path) -> Source:
    with pq.ParquetFile(path) as file:
        bits = [kind.bit_width if pa.types.is_primitive(kind) else 8 for kind in file.schema_arrow.types]
        check_memory(f"load: {path}", file.metadata.num_rows * sum(bits) // 8, PART)
    return Source(path.name, checked(pq.read_table(path)))


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


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".npy": _read_npy,
    ".npz": _read_npz,
}


def from_arrays(name: str, arrays: Mapping[str, np.ndarray], named: bool = False) -> Source:
    """Arrays side by side: a vector is one column, a matrix NAME its columns NAME0, NAME1, ...; what is masked is missing."""
    columns: dict[str, pa.Array] = {}
    for key, array in arrays.items():
        array = exact(f"{name}: {key!r}", array)
        if array.dtype.kind not in "biufU" or array.ndim not in (1, 2):
            raise DataError(
                f"{name}: expected numbers of shape (rows, columns), got {array.dtype} {array.shape} in {key!r}; reshape or convert them"
            )
        if named and array.ndim == 1:
            columns[key] = _arrow(array)
        else:
            matrix = array if array.ndim == 2 else array[:, None]
            columns |= {f"{key}{i}": _arrow(matrix[:, i]) for i in range(matrix.shape[1])}
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


def _arrow(column: np.ndarray) -> pa.Array:
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    return pa.array(np.ascontiguousarray(np.ma.getdata(column)), mask=mask)
