"""Scoring rows of data one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bulk import Engine, Job, Scoring, into_parts, shards_of, summary
from ..questions import questions
from ..subjects import Scored, TableSubject, subject_of
from ..subjects.files import check_ending
from ..subjects.table_scores import Asked
from ..training import Run
from .runs import load, read_results, subject_as

__all__ = ["Scored", "score"]


def score(
    run: Run | str | Path,
    data: Any,
    out: str | Path | None = None,
    *,
    samples: int = 1,
    batch: int = 8192,
    seed: int = 0,
    figure: str | Path | None = None,
    columns: Sequence[str] | None = None,
    given: Sequence[str] = (),
    engine: Engine = "local",
    workers: int = 1,
    progress: bool = False,
) -> Scored:
    """The rows of a table with their log-likelihoods under a fitted run.

    Four columns are added: ``log_likelihood`` (nats per row, in data units), ``bits`` (its negative in bits), ``percentile`` (percent
    of the run's training rows that are less likely) and ``unusual`` (less likely than all but 0.1 % of the training rows: about one
    row in a thousand of the same kind of data is).

    Parquet files are read, scored and written 65,536 rows at a time, so that the memory needed does not grow with them; other
    sources are held in memory. No row stops a file: where a value can't be (a new category, a number outside) the likelihood is zero and
    ``reason`` says why; where one is missing that never was in training, ``any_order`` integrates it out and other flows give no figures.
    Of an unusual row ``column`` names what is furthest from what the other columns let expect (``any_order`` only).

    Where ``out`` has no ending it is a folder, and Parquet files of any size are answered in part files of about a million rows, by
    ``workers`` processes or on a Ray cluster. A job that was stopped goes on with what is missing when it is called again; part files
    are the same whoever makes them.

    Images get a row each: ``image`` (the file's path, or else the number), their labels, ``log_likelihood``, ``bits_per_dim``,
    ``percentile`` and ``unusual``; the most and the least likely ones are drawn beside the table.

    Arguments:
        run: a run or its directory.
        data: a path, array or table with the run's columns; others are copied. Images: whatever holds such.
        out: the file to write (.csv, .tsv, .parquet, .arrow, .feather, .npy), or a folder of part files.
        samples: K, passes averaged for each row where the likelihood is not exact.
        batch: rows at a time through the flow.
        seed: of the noise of stochastic layers.
        columns: score these alone, the others integrated out: ``log p(columns | given)``.
        given: columns that the scored ones are conditioned on.
        figure: of images, where to draw the most and the least likely; ``out`` with the ending .png otherwise.
        engine: of a folder of part files, "local" processes or "ray".
        workers: processes that make them.
        progress: tell of part files on stderr.

    Raises:
        ValueError: a column is missing, a value is not what its column holds, or a file that can't be written.

    Example::

        >>> score("runs/flights-nsf", "flights.parquet", "scored.parquet").rows
        336776
    """
    run = load(run)
    if out is not None and into_parts("score", run, out, engine, workers):
        table = subject_as("score", run, TableSubject)
        asked = Asked(None if columns is None else tuple(columns), tuple(given))
        asked.masks(table.schema)  # a wrong column is said before any worker starts
        scoring = Scoring(tuple(read_results(run).quantiles), samples, batch, seed, asked.columns, asked.given)
        job = Job(run, scoring, shards_of("score", data), Path(out)).run(engine_name=engine, workers=workers, progress=progress)
        return summary(job, run.flow.kind if asked.whole else questions(run.flow).kind)
    if out is not None:
        check_ending("score", Path(out))
        if isinstance(data, str | Path) and Path(out).resolve() == Path(data).resolve():
            raise ValueError(f"score: {out} is the table that is read; write the copy to another file")
    quantiles = np.asarray(read_results(run).quantiles)
    options = {"samples": samples, "batch": batch, "seed": seed}
    place, picture = (None if path is None else Path(path) for path in (out, figure))
    if columns is not None or given:
        asked = Asked(None if columns is None else tuple(columns), tuple(given))
        return subject_as("score", run, TableSubject).score(run, data, place, picture, quantiles, asked, **options)
    return subject_of(run).score(run, data, place, picture, quantiles, **options)
