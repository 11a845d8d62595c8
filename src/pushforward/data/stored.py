"""Tables larger than memory: encoded once, in one pass or few, to a file on disk that training reads window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from .errors import DataError
from .formats import ROWS_AT_ONCE, parquet_batches
from .image_density import PREFIX
from .parts import parts_of, with_keys
from .query import is_query
from .reading import Reading
from .rows import Rows
from .schema import Schema, decoded, stack
from .scratch import scratch
from .source import Source
from .tables import read

LARGE = 2**27  # numbers, a gigabyte of them, from which on a table is not held in memory
SAMPLE_ROWS = 2**20  # that tell kinds and statistics
HELD_ROWS = 100_000  # to validate, and to test, at most
FEW = 64  # rows that are looked at together where a value does not fit
MISFITS = 10_000  # rows that are looked at for what the sample did not show, in a pass
PASSES = 8
WINDOW = 2**20  # rows that are shuffled together


@dataclass(frozen=True)
class Large:
    """Parquet files of more numbers than memory should hold.

    Attributes:
        name: what the table is called.
        paths: the files.
        counts: the rows of each.
    """

    name: str
    paths: list[Path]
    counts: list[int]

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def batches(self) -> Iterator[tuple[int, Source]]:
        """The rows, some at a time, with the number of the first of them."""
        start = 0
        for path in self.paths:
            for batch in parquet_batches(path, ROWS_AT_ONCE):
                table = with_keys(read(pa.Table.from_batches([batch])).table, path, Reading())
                yield start, Source(f"{path.name} (from row {start:,})" if start else path.name, table)
                start += batch.num_rows


def large(source: Any) -> Large | None:
    """The Parquet files of a path, a folder, a pattern or a list, if they hold more than :data:`LARGE` numbers; else None."""
    if not isinstance(source, str | Path | list | tuple) or is_query(source):
        return None
    if isinstance(source, str) and (source.startswith(PREFIX) or not set(source) & set("./\\")):
        return None  # a picture, or a name
    paths = parts_of(source) or ([Path(source)] if isinstance(source, str | Path) else [])
    if not paths or any(path.suffix.lower() != ".parquet" or not path.is_file() for path in paths):
        return None
    try:
        found = [pq.read_metadata(path) for path in paths]
    except (pa.ArrowException, OSError):
        return None  # a damaged file is told of by who reads it
    numbers = sum(each.num_rows * each.num_columns for each in found)
    name = paths[0].name if len(paths) == 1 else f"{Path(source).name if isinstance(source, str | Path) else 'list'} ({len(paths)} files)"
    return Large(name, paths, [each.num_rows for each in found]) if numbers > LARGE else None


@dataclass(frozen=True)
class Stored:
    """What became of a large table.

    Attributes:
        data: whatever ``understand`` made of the sample and of the rows that are held out.
        train: all rows but these last, in a file that goes with them.
        note: what to tell of it.
    """

    data: Any
    train: Rows
    note: str


def store(table: Large, understand: Callable[[Source, Source, Source, Schema | None], Any], missing: str, seed: int) -> Stored:
    """Encode all rows but those held out to a file; it has no name and its space is free again when nobody uses it.

    Kinds are those of a sample of :data:`SAMPLE_ROWS`. Rows that they do not fit (a word that the sample has not) are added to it, and the
    pass is made again, until all fit.

    Arguments:
        table: the files.
        understand: sample, validation and test rows, and the schema if it is known, to an object with a ``schema``; it raises what is
            wrong with them.
        missing: "drop" leaves out rows with gaps.
        seed: of which rows are which.

    Raises:
        DataError: a value fits nothing, or there is no room on the disk.
    """
    rng = np.random.default_rng(seed)
    held = min(HELD_ROWS, table.rows // 10)
    picked = rng.choice(table.rows, min(SAMPLE_ROWS, table.rows - 2 * held) + 2 * held, replace=False)
    valid, test, sample = (Source(table.name, part) for part in _drawn(table, [picked[:held], picked[held : 2 * held], picked[2 * held :]]))
    out, row, told = np.sort(picked[: 2 * held]), replace(sample, table=sample.table.slice(0, 1)), sample
    for _ in range(PASSES):
        schema = understand(told, row, row, None).schema
        misfits = [part for held_out in (valid, test) for part in _misfits(schema, held_out, missing, MISFITS)]
        train, dropped = _encoded(table, schema, out, missing, misfits)
        if not misfits:
            return Stored(understand(sample, valid, test, schema), train, _note(len(train), dropped, sample.table.num_rows))
        told = replace(told, table=pa.concat_tables([told.table, *misfits], promote_options="permissive"))
    raise DataError(f"{table.name}: some of its values fit no kind of column; declare the kinds (fit --kind)")


def _note(rows: int, dropped: int, sample: int) -> str:
    left = f" ({dropped:,} with missing, NaN or infinite values were dropped)" if dropped else ""
    return (
        f"All {rows:,} other rows train, from a file on disk, since they are many{left}; {sample:,} of them told the kinds of columns, and "
        "stand for all in statistics, baselines and pictures."
    )


def _drawn(table: Large, wanted: Sequence[np.ndarray]) -> list[pa.Table]:
    """The rows of these numbers, a table for each list of them."""
    ordered, parts = [np.sort(numbers) for numbers in wanted], [[] for _ in wanted]  # type: ignore[var-annotated]
    for start, source in table.batches():
        for numbers, tables in zip(ordered, parts, strict=True):
            low, high = np.searchsorted(numbers, [start, start + source.table.num_rows])
            if high > low or not tables:
                tables.append(source.table.take(pa.array(numbers[low:high] - start)))
    return [pa.concat_tables(tables, promote_options="permissive") for tables in parts]


def _encoded(table: Large, schema: Schema, out: np.ndarray, missing: str, misfits: list[pa.Table]) -> tuple[Rows, int]:
    """All rows but those of the numbers ``out``; what does not fit is appended to ``misfits``, and then the others are worth nothing."""
    width, written, dropped = len(schema.columns) + len(schema.context), 0, 0
    with scratch(table.rows * width * 8) as file:
        for start, source in table.batches():
            low, high = np.searchsorted(out, [start, start + source.table.num_rows])
            keep = np.ones(source.table.num_rows, bool)
            keep[out[low:high] - start] = False
            source = replace(source, table=source.table.filter(pa.array(keep)))
            found = _misfits(schema, source, missing, MISFITS - sum(part.num_rows for part in misfits))
            misfits += found
            if not misfits:
                x, context = schema.encode(_complete(schema, source, missing))
                (x if context is None else torch.cat([x, context], 1)).numpy().tofile(file)
                written, dropped = written + len(x), dropped + source.table.num_rows - len(x)
        file.flush()
        if not written:
            return Rows(torch.zeros(0, len(schema.columns), dtype=torch.float64)), dropped
        mapped = torch.from_numpy(np.memmap(file, np.float64, "c", shape=(written, width)))
    x, context = mapped[:, : len(schema.columns)], mapped[:, len(schema.columns) :]
    return Rows(x, context if schema.context else None, window=WINDOW), dropped


def _complete(schema: Schema, source: Source, missing: str) -> Source:
    """The rows that take part: where ``missing`` is "drop", those without gaps."""
    return source if missing != "drop" else replace(source, table=source.table.filter(pa.array(~schema.missing(source))))


def _misfits(schema: Schema, source: Source, missing: str, most: int) -> list[pa.Table]:
    """Rows among which are all that the schema can't encode or does not give back, about so many at most."""
    if most <= 0 or _fits(schema, source, missing):
        return []
    if source.table.num_rows <= FEW:
        return [source.table]
    half = source.table.num_rows // 2
    found = _misfits(schema, replace(source, table=source.table.slice(0, half)), missing, most)
    rest = replace(source, table=source.table.slice(half))
    return found + _misfits(schema, rest, missing, most - sum(part.num_rows for part in found))


def _fits(schema: Schema, source: Source, missing: str) -> bool:
    try:
        x, _ = schema.encode(_complete(schema, source, missing))
    except DataError:
        return False
    measured = [i for i, column in enumerate(schema.columns) if not column.discrete]  # numbers with more digits are taken, and rounded
    if not measured or not len(x):
        return True
    columns = [schema.columns[i] for i in measured]
    back = stack(decoded(x[:, measured], columns), columns, source.name)
    return torch.equal(back.nan_to_num(), x[:, measured].nan_to_num())
