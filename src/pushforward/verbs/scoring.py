"""Scoring the rows of a table, however long it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..data import ImageSchema, Rows, Schema, read
from ..data.formats import Source, parquet_batches
from ..evaluation import log_likelihood
from ..training import Run
from .files import check_ending, write_tables
from .image_scoring import rank, score_images
from .runs import load, read_results

ADDED = ("log_likelihood", "bits", "percentile", "unusual")
ROWS_AT_ONCE = 65_536  # rows read at a time


@dataclass
class Scored:
    """The outcome of :func:`score`.

    Attributes:
        table: the rows with the added columns; None if they were written to a file.
        rows: how many; ``missing`` of them have no figures, because a value is missing.
        unusual: how many are less likely than all but 0.1 % of the training rows.
        nats: mean log-likelihood of the scored rows; NaN if there are none.
        kind: "exact", "bound" or "estimate".
        bits_per_dim: of images, the mean.
        figure: the picture of the most and the least likely images, if one was written.
    """

    table: pa.Table | None
    rows: int = 0
    missing: int = 0
    unusual: int = 0
    nats: float = math.nan
    kind: str = "exact"
    bits_per_dim: float | None = None
    figure: Path | None = None


def score(
    run: Run | str | Path,
    data: Any,
    out: str | Path | None = None,
    *,
    samples: int = 1,
    batch: int = 8192,
    seed: int = 0,
    figure: str | Path | None = None,
) -> Scored:
    """The rows of a table with their log-likelihoods under a fitted run.

    Four columns are added: ``log_likelihood`` (nats per row, in data units), ``bits`` (its negative in bits), ``percentile`` (percent
    of the run's training rows that are less likely) and ``unusual`` (less likely than all but 0.1 % of the training rows: about one
    row in a thousand of the same kind of data is).

    Parquet files are read, scored and written 65,536 rows at a time, so that the memory needed does not grow with them; other
    sources are held in memory. Rows with missing values get no figures if the run was fitted with ``missing="drop"``.

    Images get a row each: ``image`` (the file's path, or else the number), their labels, ``log_likelihood``, ``bits_per_dim``,
    ``percentile`` and ``unusual``; the most and the least likely ones are drawn beside the table.

    Arguments:
        run: a run or its directory.
        data: a path, array or table with the run's columns; others are copied. Images: whatever holds such.
        out: the file to write (.csv, .tsv, .parquet, .arrow, .feather, .npy).
        samples: K, passes averaged for each row where the likelihood is not exact.
        batch: rows at a time through the flow.
        seed: of the noise of stochastic layers.
        figure: of images, where to draw the most and the least likely; ``out`` with the ending .png otherwise.

    Raises:
        ValueError: a column is missing, a value is not what its column holds, or a file that can't be written.

    Example::

        >>> score("runs/flights-nsf", "flights.parquet", "scored.parquet").rows
        336776
    """
    run = load(run)
    if out is not None:
        check_ending("score", Path(out))
        if isinstance(data, str | Path) and Path(out).resolve() == Path(data).resolve():
            raise ValueError(f"score: {out} is the table that is read; write the copy to another file")
    quantiles = np.asarray(read_results(run).quantiles)
    options = {"samples": samples, "batch": batch, "seed": seed}
    if isinstance(run.schema, ImageSchema):
        table, picture = score_images(run, data, out, figure, quantiles, **options)
        log_likelihood = table["log_likelihood"].to_numpy()
        unusual = int(table["unusual"].to_numpy().sum())
        mean = float(log_likelihood.mean())
        bits = -mean / (run.schema.dim * math.log(2))
        return Scored(table if out is None else None, table.num_rows, 0, unusual, mean, run.flow.kind, bits, picture)
    if figure is not None:
        raise ValueError(f"score: a figure shows images, and {run.path} was fitted to a table; leave it out")
    scored = Scored(None, kind=run.flow.kind)
    pieces = _pieces(run, data, quantiles, scored, options)
    if out is None:
        scored.table = pa.concat_tables(pieces)
    else:
        write_tables(Path(out), pieces)
    return scored


def _pieces(run: Run, data: Any, quantiles: np.ndarray, scored: Scored, options: dict[str, int]) -> Iterator[pa.Table]:
    """The table's parts with the added columns; ``scored`` keeps count."""
    schema = run.schema
    assert isinstance(schema, Schema)
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
