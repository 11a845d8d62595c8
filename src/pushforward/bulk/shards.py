"""The shards of a table: runs of rows that are answered together and written to one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data import read
from ..data.errors import DataError, reading
from ..data.formats import ROWS_AT_ONCE, parquet_batches
from ..data.parts import parts_of, with_keys
from ..data.reading import Reading
from ..data.source import Source
from ..words import listing

SHARD_ROWS = 1_000_000  # about as many as a minute's work


@dataclass(frozen=True)
class Shard:
    """Rows ``first`` to ``first + rows`` of a Parquet file, or of samples that are to be drawn.

    Attributes:
        name: of the file that is written for it.
        path: where its rows are; None for samples.
        groups: the row groups of that file, the first and the one after the last.
    """

    name: str
    first: int
    rows: int
    path: str | None = None
    groups: tuple[int, int] = (0, 0)

    def sources(self) -> Iterator[Source]:
        """Its rows, some at a time, each called so that an error says where it is.

        Raises:
            DataError: the file is damaged or gone.
        """
        assert self.path is not None
        path, start = Path(self.path), self.first
        for batch in parquet_batches(path, ROWS_AT_ONCE, groups=range(*self.groups)):
            table = read(pa.Table.from_batches([batch])).table
            yield Source(f"{path.name} (from row {start:,})" if start else path.name, with_keys(table, path, Reading()))
            start += batch.num_rows


def shards_of(who: str, data: Any, most: int = SHARD_ROWS) -> list[Shard]:
    """The shards of a Parquet file, or of a folder, a pattern or a list of them: whole row groups, of about ``most`` rows.

    Raises:
        ValueError: there are none, they are no Parquet files, or their columns differ.
    """
    files = parts_of(data) or ([Path(data)] if isinstance(data, str | Path) else [])
    if not files or any(path.suffix.lower() != ".parquet" for path in files):
        raise ValueError(
            f"{who}: a folder of part files is made of Parquet files, got {data!r:.200}; write one file instead: -o FILE.parquet"
        )
    runs: list[tuple[Path, int, int, tuple[int, int]]] = []
    columns: list[str] = []
    for path in files:
        if not path.is_file():
            raise DataError(f"load: there is no file {path}; check the path")
        with reading(f"load: {path}", ".parquet"), pq.ParquetFile(path) as file:
            names, sizes = file.schema_arrow.names, [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        columns = columns or names
        if other := set(columns) ^ set(names):
            raise DataError(
                f"load: {path} has other columns than {files[0]} ({listing(map(repr, sorted(other)))}); give files of the same columns"
            )
        runs += [(path, *run) for run in _runs(sizes, most)]
    digits = max(5, len(str(len(runs))))
    return [
        Shard(f"{number:0{digits}}-{path.stem}.parquet", first, rows, str(path.resolve()), groups)
        for number, (path, first, rows, groups) in enumerate(runs)
    ]


def shards_to_draw(n: int, most: int = SHARD_ROWS) -> list[Shard]:
    """The shards of n samples."""
    starts = range(0, n, most)
    digits = max(5, len(str(len(starts))))
    return [Shard(f"{number:0{digits}}-samples.parquet", start, min(most, n - start)) for number, start in enumerate(starts)]


def _runs(sizes: list[int], most: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """First row, rows and groups of runs of whole row groups; one run without rows for a file that has none."""
    first = rows = begin = 0
    for group, size in enumerate(sizes):
        if rows and rows + size > most:
            yield first, rows, (begin, group)
            first, rows, begin = first + rows, 0, group
        rows += size
    yield first, rows, (begin, len(sizes))
