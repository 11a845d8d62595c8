"""Tables written to files, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..data.cells import unpacked
from ..training.atomic import replace
from ..words import nearest, printable

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset  # which imports pandas

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".npy")


def check_ending(who: str, path: Path) -> None:
    """Raise ValueError unless the file's ending is one that can be written and its folder is there."""
    if path.suffix.lower() not in TABLE_ENDINGS:
        raise ValueError(f"{who}: can't write {path}{nearest(path.suffix, TABLE_ENDINGS) or ';'} use one of {', '.join(TABLE_ENDINGS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{who}: there is no folder {path.parent} to write {path.name} to; make it first")


def number_of_rows(table: pa.Table | Dataset) -> int:
    """Of a table in memory or in files."""
    return table.num_rows if isinstance(table, pa.Table) else table.count_rows()


def write_tables(path: Path, tables: Iterable[pa.Table]) -> None:
    """Tables of one schema, one under the other, to a file whose ending says the format; the file appears when it is complete.

    Memory: one table at a time, except for ``.npy``, which holds the numbers of all (as float64).

    Raises:
        OSError: the disk is full; nothing is left behind.
        ValueError: text or times in an .npy file, lists in a CSV file.
    """
    if path.suffix.lower() == ".npy":
        numbers = np.concatenate([_numbers(path, table) for table in tables])
        replace(path, lambda temporary: _save_npy(temporary, numbers))
        return
    try:
        replace(path, lambda temporary: _stream(temporary, path.suffix.lower(), tables))
    except pa.ArrowException as error:
        raise ValueError(f"{path}: can't hold these columns ({printable(error, 120)}); leave some out, or use .parquet") from error


def _stream(path: Path, ending: str, tables: Iterable[pa.Table]) -> None:
    pieces = map(_spelled_out, tables) if ending in (".csv", ".tsv") else iter(tables)
    first = next(pieces)
    with _writer(path, ending, first.schema) as writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)


def _spelled_out(table: pa.Table) -> pa.Table:
    """The table without dictionaries, which CSV has not."""
    return pa.table({name: unpacked(table[name]) for name in table.column_names})


def _writer(
    path: Path, ending: str, schema: pa.Schema
) -> pyarrow.csv.CSVWriter | pyarrow.parquet.ParquetWriter | pa.ipc.RecordBatchFileWriter:
    if ending in (".csv", ".tsv"):
        return pyarrow.csv.CSVWriter(
            path, schema, write_options=pyarrow.csv.WriteOptions(delimiter="\t" if ending == ".tsv" else ",", quoting_style="needed")
        )
    if ending == ".parquet":
        return pyarrow.parquet.ParquetWriter(path, schema)
    return pa.ipc.new_file(str(path), schema)


def _numbers(path: Path, table: pa.Table) -> np.ndarray:
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)):
            raise ValueError(f"{path}: column {field.name!r} holds {field.type}, which a .npy file can't; use .parquet or .csv")
    return np.column_stack([table[name].to_numpy().astype(np.float64) for name in table.column_names])


def _save_npy(path: Path, numbers: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save would add its ending to the temporary name
        np.save(file, numbers)
