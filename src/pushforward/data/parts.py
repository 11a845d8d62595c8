"""Several files as one table: a folder, a pattern with ``*``, a list; folders called KEY=VALUE make a column KEY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from ..words import listing
from .delimited import ending_of
from .errors import DataError, check_memory
from .formats import READERS, TEXT, read_file
from .reading import Reading
from .source import Source
from .spelling import spelled

NO_KEY = "__HIVE_DEFAULT_PARTITION__"  # a missing value as Hive and Spark call a folder


def parts_of(source: Any) -> list[Path] | None:
    """The files that a folder, a pattern or a list of paths stands for; None if it is none of these.

    Raises:
        DataError: there are none.
    """
    if isinstance(source, list | tuple) and source and all(isinstance(item, str | Path) for item in source):
        return [Path(item) for item in source]
    if not isinstance(source, str | Path):
        return None
    path = Path(source)
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if not any(part.startswith((".", "_")) for part in p.relative_to(path).parts))
        found = [p for p in inside if p.is_file() and (ending_of(p) in TEXT or p.suffix.lower() in READERS)]
        endings = sorted({ending_of(p) for p in found})
        if len(endings) == 1:
            return found
        what = f"files of {listing(endings)}; give one sort of them, as {path}/*{endings[0]}" if endings else "no tables; check the path"
        raise DataError(f"load: the folder {path} holds {what}")
    if path.exists() or not any(mark in str(source) for mark in "*?["):
        return None
    root = Path(path.anchor or ".")
    found = sorted(root.glob(str(path.relative_to(path.anchor))))
    if not found:
        raise DataError(f"load: no file is called like {source}; check the pattern")
    return found


def read_parts(paths: Sequence[Path], name: str, reading: Reading) -> Source:
    """The rows of all files, one after the other; their types are the widest that they have.

    Raises:
        DataError: a file can't be read, or has other columns than the first.
    """
    tables: list[pa.Table] = []
    notes: dict[str, None] = {}
    keys: set[str] = set()
    for path in paths:
        source = read_file(path, reading)
        notes |= dict.fromkeys(source.notes)
        table = source.table
        for key, word in _keys(path).items():
            if key not in table.column_names:
                keys.add(key)
                table = table.append_column(key, pa.repeat(word, table.num_rows))
        first = tables[0].column_names if tables else table.column_names
        if other := set(first) ^ set(table.column_names):
            remedy = "give files of the same columns"
            raise DataError(f"load: {path} has other columns than {paths[0]} ({listing(map(repr, sorted(other)))}); {remedy}")
        tables.append(table.select(first))
        check_memory(f"load: {name}", sum(table.nbytes for table in tables), "read a part of it")
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"load: the columns of {name} differ in their types ({error}); give files of the same columns") from None
    typed, _ = spelled(whole.select(sorted(keys)), reading) if keys else (whole, None)
    for key in sorted(keys):
        whole = whole.set_column(whole.column_names.index(key), key, typed[key])
    return Source(name, whole, source.named, tuple(notes))


def with_keys(table: pa.Table, path: Path, reading: Reading) -> pa.Table:
    """The rows of one file with the columns that the names of its folders make."""
    added = {key: pa.repeat(word, table.num_rows) for key, word in _keys(path).items() if key not in table.column_names}
    typed = spelled(pa.table(added), reading)[0] if added else pa.table({})
    for key in sorted(added):
        table = table.append_column(key, typed[key])
    return table


def _keys(path: Path) -> dict[str, pa.Scalar]:
    """What the folders of a file say that are called KEY=VALUE."""
    found: dict[str, pa.Scalar] = {}
    for part in path.parts[:-1]:
        key, equals, value = part.partition("=")
        if equals and key:
            plain = re.sub(r"^0+(?=\d+$)", "", unquote(value))  # month=01 is a number here, as to Hive and Spark
            found.setdefault(key, pa.scalar(None if value == NO_KEY else plain, pa.string()))
    return found
