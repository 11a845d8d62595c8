"""Questions to a fitted table: what fills its gaps, and what the other columns say of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from ..bulk import Engine, Imputation, Job, Operation, Prediction, into_parts, shards_of
from ..data import Reading, read
from ..subjects import TableSubject
from ..subjects.files import check_ending, write_tables
from ..subjects.table_questions import ByColumn, by_column, columns_of, imputed, predicted
from ..training import Run
from ..words import check_counts
from .runs import data_of, load, rows_of, subject_as

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

USUAL_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def impute(
    run: Run | str | Path,
    data: Any,
    out: str | Path | None = None,
    *,
    draws: int = 1,
    how: Literal["draw", "middle"] = "draw",
    seed: int = 0,
    engine: Engine = "local",
    workers: int = 1,
    progress: bool = False,
) -> pa.Table | Dataset:
    """A table with its gaps filled from what is known of each row, ``x_missing ~ p(. | x_known)``; the other values stay.

    Exact for ``any_order``; by weighted samples for other flows. Several draws show how much is not known (multiple imputation): judge
    by all of them, since the middle of a distribution is no typical value of it.

    Reference: Multiple Imputation for Nonresponse in Surveys, Rubin, 1987.

    Arguments:
        run: a run of a table, or its directory.
        data: a path, array or table with some of the run's columns; others are copied.
        out: the file to write as well (.csv, .tsv, .parquet, .arrow, .feather, .npy); without an ending, a folder of part files as
            :func:`score` makes them, which is then the result, as a ``pyarrow.dataset.Dataset``.
        draws: K tables, one below the other, with a column ``draw``.
        how: "draw", or "middle" for the median of a number and the most probable category, each cell by itself.
        seed: of the draws.
        engine, workers, progress: of a folder of part files, as in :func:`score`.

    Raises:
        ValueError: a run of images, a table without any of its columns, or a file that can't be written.

    Example::

        >>> impute("runs/flights", "flights.parquet", "filled.parquet").num_rows
        336776
    """
    check_counts("impute", draws=draws)
    if how not in ("draw", "middle"):
        raise ValueError(f"impute: how must be 'draw' or 'middle', got {how!r}")
    run = load(run)
    subject = subject_as("impute", run, TableSubject)
    if out is not None and into_parts("impute", run, out, engine, workers):
        return _in_parts(run, Imputation(draws if how == "draw" else 1, how, seed), data, Path(out), engine, workers, progress)
    if out is not None:
        check_ending("impute", Path(out))
    table = imputed(run.flow, subject.schema, read(data, Reading.of(run.request.reading)), draws if how == "draw" else 1, how, seed)
    if out is not None:
        write_tables(Path(out), [table])
    return table


def predict(
    run: Run | str | Path,
    data: Any,
    column: str,
    out: str | Path | None = None,
    *,
    levels: Sequence[float] = USUAL_LEVELS,
    seed: int = 0,
    engine: Engine = "local",
    workers: int = 1,
    progress: bool = False,
) -> pa.Table | Dataset:
    """A table with the distribution of one column given the others that are known, ``p(x_i | x_known)``: distributional regression.

    Of a number the columns NAME_mean, NAME_q5, NAME_q25, ... are added, of a category NAME_mode and the probability of each value; and
    NAME_log_density where the table has the column itself, in nats. Exact for ``any_order``, in one pass; an estimate for other flows.

    Arguments:
        run: a run of a table, or its directory.
        data: a path, array or table with some of the run's columns; others are copied.
        column: the one to predict; what the table has of it is not used.
        out: the file to write as well, or a folder of part files, which is then the result, as a ``pyarrow.dataset.Dataset``.
        levels: of the quantiles.
        seed: of the samples, where there are any.
        engine, workers, progress: of a folder of part files, as in :func:`score`.

    Raises:
        ValueError: there is no such column, levels outside (0, 1), or a file that can't be written.

    Example::

        >>> predict("runs/flights", "flights.parquet", "arr_delay").column_names[-3:]
        ['arr_delay_q75', 'arr_delay_q95', 'arr_delay_log_density']
    """
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"predict: expected levels of quantiles between 0 and 1, got {list(levels)}")
    run = load(run)
    subject = subject_as("predict", run, TableSubject)
    if out is not None and into_parts("predict", run, out, engine, workers):
        columns_of("predict", subject.schema, [column])  # a wrong one is said before any worker starts
        return _in_parts(run, Prediction(column, tuple(levels), seed), data, Path(out), engine, workers, progress)
    if out is not None:
        check_ending("predict", Path(out))
    table = predicted(run.flow, subject.schema, read(data, Reading.of(run.request.reading)), column, levels, seed)
    if out is not None:
        write_tables(Path(out), [table])
    return table


def nats_by_column(run: Run | str | Path, data: Any = None, *, limit: int = 5000) -> list[ByColumn]:
    """Which columns a model understands: nats of each in the chain, alone, and given all others.

    Arguments:
        run: a run of a table, or its directory.
        data: rows to judge on; the run's test rows otherwise.
        limit: of the rows, at most.

    Raises:
        ValueError: the data don't fit the run, or can't be read again.

    Example::

        >>> nats_by_column("runs/flights")[0].column
        'year'
    """
    run = load(run)
    subject = subject_as("evaluate", run, TableSubject)
    rows = data_of(run).test if data is None else rows_of(run, data)
    context = None if rows.context is None else rows.context[:limit]
    return by_column(run.flow, subject.schema, rows.x[:limit], context)


def _in_parts(run: Run, operation: Operation, data: Any, folder: Path, engine: Engine, workers: int, progress: bool) -> Dataset:
    job = Job(run, operation, shards_of(operation.verb, data), folder)
    return job.run(engine_name=engine, workers=workers, progress=progress).dataset()
