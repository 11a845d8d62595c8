"""Scoring the rows of a table, however long it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..data import Reading, Rows, Schema, read
from ..data.admit import Admitted, admit
from ..data.formats import ROWS_AT_ONCE, Source, parquet_batches
from ..evaluation import log_likelihood, settled
from ..questions import Questions, answers_exactly, questions
from .files import write_tables
from .scored import RARE, Scored, rank
from .table_questions import columns_of

if TYPE_CHECKING:
    from ..training import Run

ADDED = ("log_likelihood", "bits", "percentile", "unusual")
SAID = ("column", "reason")  # beside them, where words can be written
TYPICAL = 500  # rows that tell what is usual of a column given the others


@dataclass(frozen=True)
class Asked:
    """What rows are scored by: all columns, or some of them given others."""

    columns: tuple[str, ...] | None = None
    given: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return self.columns is None and not self.given

    def masks(self, schema: Schema) -> tuple[Tensor, Tensor]:
        """Which columns stand on the left of the bar and on its right, ``(D,)`` each."""
        right = torch.zeros(len(schema.columns), dtype=torch.bool)
        right[columns_of("score", schema, self.given)] = True
        left = ~right
        if self.columns is not None:
            left = torch.zeros_like(right)
            left[columns_of("score", schema, self.columns)] = True
        if (left & right).any():
            raise ValueError("score: a column can't be asked about and given at once; leave it out of one of the two")
        return left, right


def score_table(run: Run, schema: Schema, data: Any, out: Path | None, quantiles: np.ndarray, asked: Asked, **options: int) -> Scored:
    """The rows of a table with more columns, in parts of which one at a time is held if there is a file to write; see :func:`score`.

    Raises:
        ValueError: a column is missing or of that name already, or most of its values are not what the column held.
    """
    scored = Scored(None, kind=run.flow.kind if asked.whole else questions(run.flow).kind)
    words = out is None or out.suffix.lower() != ".npy"
    sources = _sources(data, Reading.of(run.request.reading))
    pieces = scored_tables(run, schema, sources, quantiles, scored, asked, words, options)
    if out is None:
        scored.table = pa.concat_tables(pieces)
    else:
        write_tables(out, pieces)
    return scored


def scored_tables(
    run: Run,
    schema: Schema,
    sources: Iterable[Source],
    quantiles: np.ndarray,
    scored: Scored,
    asked: Asked,
    words: bool,
    options: dict[str, int],
) -> Iterator[pa.Table]:
    """A table's parts with the added columns, with :data:`SAID` where ``words`` can be written; ``scored`` keeps count."""
    total, usual = 0.0, None
    for source in sources:
        clash = [name for name in (*ADDED, *(SAID if words else ())) if name in source.table.column_names]
        if clash:
            raise ValueError(f"{source.name}: already has a column {clash[0]!r}; rename or drop it")
        admitted = admit(schema, source)
        values, reasons = _log_likelihood(run, schema, admitted, asked, options)
        absent = np.isnan(values)
        added = _columns(values, absent, quantiles)
        if words:
            unusual = np.flatnonzero(values < np.quantile(quantiles, RARE / 100)) if asked.whole else np.array([], int)
            if answers_exactly(run.flow) and len(unusual):
                ask = questions(run.flow)
                usual = _others(ask, admitted, np.arange(len(values))[:TYPICAL]).nan_to_num(0, 0, 0).mean(0) if usual is None else usual
                added["column"] = _to_blame(schema, ask, admitted, unusual, usual)
            else:
                added["column"] = pa.nulls(len(values), pa.string())
            added["reason"] = pa.array([reason or None for reason in reasons], pa.string())
        possible = ~absent & (values > -np.inf)
        scored.rows, scored.missing = scored.rows + len(values), scored.missing + int(absent.sum())
        scored.impossible += int((values == -np.inf).sum())
        scored.unusual += int(added["unusual"].to_numpy(zero_copy_only=False)[~absent].sum())
        total += float(values[possible].sum())
        counted = scored.rows - scored.missing - scored.impossible
        scored.nats = total / counted if counted else math.nan
        table = source.table
        for name, column in added.items():
            if asked.whole or name not in ("percentile", "unusual", "column"):
                table = table.append_column(name, column)
        yield table


def _log_likelihood(run: Run, schema: Schema, admitted: Admitted, asked: Asked, options: dict[str, int]) -> tuple[np.ndarray, list[str]]:
    """Of each row, NaN where it has none, and why it has none or an infinite one."""
    x, reasons = admitted.x, admitted.reasons
    left, right = asked.masks(schema)
    lost = x.isnan() & ~torch.tensor([column.kind.support().missing for column in schema.columns])
    values = torch.full((len(x),), torch.nan, dtype=torch.float64)
    if asked.whole and not answers_exactly(run.flow):
        ok = (~lost.any(1)).numpy().nonzero()[0]
        if len(ok):
            context = None if admitted.context is None else admitted.context[ok]
            values[ok] = log_likelihood(run.flow, Rows(x[ok], context), **options)
    elif len(x):
        with settled(run.flow, options["seed"]):
            terms = questions(run.flow).terms(x, (right & ~lost), (left & ~lost), admitted.context)
            values = torch.where((left & ~lost).any(1), terms.sum(1), torch.nan)
    named = [[schema.names[i] for i in row.nonzero().flatten()] if any_lost else [] for row, any_lost in zip(lost, lost.any(1).tolist())]
    told = [f"{', '.join(names)} missing" if names else "" for names in named]
    return values.numpy(), ["; ".join(filter(None, pair)) for pair in zip(reasons, told)]


def _others(ask: Questions, admitted: Admitted, rows: np.ndarray) -> Tensor:
    return ask.others(admitted.x[rows], None if admitted.context is None else admitted.context[rows])


def _to_blame(schema: Schema, ask: Questions, admitted: Admitted, rows: np.ndarray, usual: Tensor) -> pa.Array:
    """For these rows the column that is furthest below what is usual of it, given the others."""
    lacking = _others(ask, admitted, rows) - usual
    worst = lacking.masked_fill(admitted.x[rows].isnan(), torch.inf).argmin(1).tolist()
    names: list[str | None] = [None] * len(admitted.x)
    for row, i in zip(rows, worst):
        names[row] = schema.names[i]
    return pa.array(names, pa.string())


def _columns(log_likelihood: np.ndarray, absent: np.ndarray, quantiles: np.ndarray) -> dict[str, pa.Array]:
    percentile, unusual = rank(log_likelihood, quantiles)
    columns = {"log_likelihood": log_likelihood, "bits": -log_likelihood / math.log(2), "percentile": percentile, "unusual": unusual}
    return {name: pa.array(values, mask=absent) for name, values in columns.items()}


def _sources(data: Any, reading: Reading) -> Iterator[Source]:
    """The table in parts, each called so that an error says where it is."""
    if isinstance(data, str | Path) and Path(data).suffix.lower() == ".parquet" and Path(data).is_file():
        path, start = Path(data), 0
        for part in parquet_batches(path, ROWS_AT_ONCE):
            name = f"{path.name} (from row {start:,})" if start else path.name
            yield Source(name, read(pa.Table.from_batches([part])).table)
            start += part.num_rows
        return
    whole = read(data, reading)
    for start in range(0, max(1, whole.table.num_rows), ROWS_AT_ONCE):
        name = f"{whole.name} (from row {start:,})" if start else whole.name
        yield Source(name, whole.table.slice(start, ROWS_AT_ONCE), whole.named)
