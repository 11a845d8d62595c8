"""What scoring would cost, before it is started: ``score --dry-run``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bulk import shards_of
from ..subjects import Scored, TableSubject
from ..subjects.table_scores import Asked, scored_tables
from ..training import Run
from ..words import duration
from .runs import load, read_results, subject_as

LEAST_SECONDS = 1.0  # of a measurement
LEAST_ROWS = 256


@dataclass(frozen=True)
class ScoringForecast:
    """What :func:`plan_scoring` found.

    Attributes:
        rows: how many are to be scored.
        rate: rows per second of one process on this machine.
        measured: rows that were scored to know it.
        seconds: for all rows, by number of such processes, if none waits for another.
    """

    rows: int
    rate: float
    measured: int
    seconds: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """Sentences for a terminal."""
        times = ", ".join(f"{duration(seconds)} by {n} process{'es' * (n != 1)}" for n, seconds in self.seconds.items())
        return [f"{self.rows:,} rows at {self.rate:,.0f} rows/s of one process here (measured on {self.measured:,} of them): {times}"]


def plan_scoring(
    run: Run | str | Path, data: Any, *, samples: int = 1, rows: int | None = None, workers: Sequence[int] = (1, 2, 8, 64)
) -> ScoringForecast:
    """The time that :func:`score` would take for a folder of part files, measured on the first rows; nothing is written.

    Arguments:
        run: a run of a table, or its directory.
        data: Parquet files, as for :func:`score`.
        samples: K, as there.
        rows: how many there will be, if ``data`` are only some of them.
        workers: numbers of processes to tell the time for.

    Raises:
        ValueError: the data are no Parquet files, hold no row or don't fit the run.

    Example::

        >>> plan_scoring("runs/flights", "flights/", rows=1_000_000_000).lines()
        ['1,000,000,000 rows at 21,303 rows/s of one process here (measured on 65,536 of them): 13h02m by 1 process, ...']
    """
    run = load(run)
    subject = subject_as("score", run, TableSubject)
    shards = shards_of("score", data)
    shard = next((shard for shard in shards if shard.rows), None)
    if shard is None:
        raise ValueError(f"score: {data} holds no row to measure on; give some rows")
    source, quantiles = next(shard.sources()), np.asarray(read_results(run).quantiles)

    def measure(n: int) -> float:
        some = replace(source, table=source.table.slice(0, n))
        options = {"samples": samples, "batch": 8192, "seed": 0}
        began = time.perf_counter()
        list(scored_tables(run, subject.schema, [some], quantiles, Scored(None), Asked(), True, options))
        return time.perf_counter() - began

    n = min(LEAST_ROWS, source.table.num_rows)
    measure(n)  # what only the first call costs
    while (took := measure(n)) < LEAST_SECONDS and n < source.table.num_rows:
        n = min(4 * n, source.table.num_rows)
    total = sum(shard.rows for shard in shards) if rows is None else rows
    return ScoringForecast(total, n / took, n, {count: total * took / n / count for count in workers})
