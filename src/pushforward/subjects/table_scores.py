"""Scoring the rows of a table, however long it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..data import Rows, Schema, read
from ..data.formats import Source, parquet_batches
from ..evaluation import log_likelihood
from .files import write_tables
from .scored import Scored, rank

if TYPE_CHECKING:
    from ..training import Run

ADDED = ("log_likelihood", "bits", "percentile", "unusual")
ROWS_AT_ONCE = 65_536  # rows read at a time


def score_table(run: Run, schema: Schema, data: Any, out: Path | None, quantiles: np.ndarray, **options: int) -> Scored:
    """The rows of a table with four more columns, in parts of which one at a time is held if there is a file to write; see :func:`score`.

    Raises:
        ValueError: a column is missing or of that name already, or a value is not what its column holds.
    """
    scored = Scored(None, kind=run.flow.kind)
    pieces = _pieces(run, schema, data, quantiles, scored, options)
    if out is None:
        scored.table = pa.concat_tables(pieces)
    else:
        write_tables(out, pieces)
    return scored


def _pieces(run: Run, schema: Schema, data: Any, quantiles: np.ndarray, scored: Scored, options: dict[str, int]) -> Iterator[pa.Table]:
    """The table's parts with the added columns; ``scored`` keeps count."""
    total, drops = 0.0, run.request.missing == "drop"
    for source in _sources(data):
        clash = [name for name in ADDED if name in source.table.column_names]
        if clash:
            raise ValueError(f"{source.name}: already has a column {clash[0]!r}; rename or drop it")
        absent = schema.missing(source) if drops else np.zeros(source.table.num_rows, bool)
        values = np.full(source.table.num_rows, np.nan)
        if not absent.all():  # nor are there no rows
            complete = source.table.filter(pa.array(~absent)) if absent.any() else source.table
            rows = Rows(*schema.encode(Source(source.name, complete, source.named)))
            values[~absent] = log_likelihood(run.flow, rows, **options).numpy()
        added = _columns(values, absent, quantiles)
        scored.rows, scored.missing = scored.rows + len(values), scored.missing + int(absent.sum())
        scored.unusual += int(added["unusual"].to_numpy(zero_copy_only=False)[~absent].sum())
        total += float(values[~absent].sum())
        scored.nats = total / (scored.rows - scored.missing) if scored.rows > scored.missing else math.nan
        table = source.table
        for name, column in added.items():
            table = table.append_column(name, column)
        yield table


def _columns(log_likelihood: np.ndarray, absent: np.ndarray, quantiles: np.ndarray) -> dict[str, pa.Array]:
    percentile, unusual = rank(log_likelihood, quantiles)
    columns = {"log_likelihood": log_likelihood, "bits": -log_likelihood / math.log(2), "percentile": percentile, "unusual": unusual}
    return {name: pa.array(values, mask=absent) for name, values in columns.items()}


def _sources(data: Any) -> Iterator[Source]:
    """The table in parts, each called so that an error says where it is."""
    if isinstance(data, str | Path) and Path(data).suffix.lower() == ".parquet" and Path(data).is_file():
        path, start = Path(data), 0
        for part in parquet_batches(path, ROWS_AT_ONCE):
            name = f"{path.name} (from row {start:,})" if start else path.name
            yield Source(name, read(pa.Table.from_batches([part])).table)
            start += part.num_rows
        return
    whole = read(data)
    for start in range(0, max(1, whole.table.num_rows), ROWS_AT_ONCE):
        name = f"{whole.name} (from row {start:,})" if start else whole.name
        yield Source(name, whole.table.slice(start, ROWS_AT_ONCE), whole.named)
