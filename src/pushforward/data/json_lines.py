"""Text files of a JSON object on each line (.jsonl, .ndjson), also compressed."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from .delimited import COMPRESSED, stream
from .duck import sandbox
from .errors import check_memory
from .reading import Reading
from .source import Source
from .spelling import spelled


def read_json_lines(path: Path, reading: Reading) -> Source:
    """The table in a file of JSON objects, one on each line; the keys of all of them are its columns, and what one lacks is missing."""
    if path.suffix.lower() in COMPRESSED or re.search(r"[*?\[\]\\{}]", str(path.resolve())):  # DuckDB would look for other files, too
        with TemporaryDirectory() as folder, stream(path) as file:
            copy = Path(folder).resolve() / "table"
            with copy.open("wb") as out:
                while chunk := file.read(2**20):
                    check_memory(f"load: {path}", out.tell() + len(chunk), "read a part of it")
                    out.write(chunk)
            table = _objects(copy)
    else:
        check_memory(f"load: {path}", path.stat().st_size, "read a part of it")
        table = _objects(path.resolve())
    text = [name for name, dtype in zip(table.column_names, table.schema.types) if pa.types.is_string(dtype)]
    typed, notes = spelled(table.select(text), reading)
    for name in text:
        table = table.set_column(table.column_names.index(name), name, typed[name])
    return Source(path.name, table, notes=tuple(notes))


def _objects(path: Path) -> pa.Table:
    with sandbox([str(path)]) as connection:
        rows = connection.read_json(str(path), format="newline_delimited", records="true", sample_size=-1, hive_partitioning=False)
        return rows.to_arrow_table()
