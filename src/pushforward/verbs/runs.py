"""Runs as the verbs take them, and what is written beside one after fitting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..data import Column, Data, ImageSchema, Rows, Schema, read, read_images
from ..data.images import rows_of_images
from ..documents import read_json
from ..evaluation import Results
from ..training import Run
from ..training.atomic import write_text
from .sources import IN_MEMORY, read_source


def load(run: Run | str | Path) -> Run:
    """A run from its directory; a :class:`Run` is handed back as it is.

    Raises:
        ValueError: there is no run, or one of its files is damaged.

    Example::

        >>> load("runs/moons-nsf").flow.sample((5,)).shape
        torch.Size([5, 2])
    """
    return run if isinstance(run, Run) else Run.load(run)


def results(run: Run | str | Path) -> dict[str, Any]:
    """What ``fit`` found out about the fitted run: ``scores``, ``verdict``, ``c2st`` and the training rows' ``quantiles``.

    Raises:
        ValueError: the run was never finished or its scores.json is damaged.
    """
    return read_results(run).to_json()


def read_results(run: Run | str | Path) -> Results:
    """:func:`results` as an object."""
    path = load(run).path / "scores.json"
    if not path.is_file():
        raise ValueError(f"{path}: not there, so the run was not finished; go on with fit --resume")
    try:
        return Results.from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def keep_results(run: Run, found: Results) -> None:
    """Write them, atomically."""
    write_text(run.path / "scores.json", json.dumps(found.to_json(), indent=1) + "\n")


def data_of(run: Run) -> Data:
    """The data that a run was fitted to, read and split again.

    Raises:
        ValueError: they were given as an object in memory, or are no longer there.
    """
    settings = run.config["data"]
    source, valid, test = (settings.get(name) for name in ("source", "valid", "test"))
    if IN_MEMORY in (source, valid, test):
        raise ValueError(f"{run.path}: was fitted to data in memory, which can't be read again; give the data")
    return read_source(source, settings, isinstance(run.schema, ImageSchema), valid, test, run.schema)


def rows_of(run: Run, data: Any) -> Rows:
    """All rows of a path, array or table in the run's schema; weighted if they have the column of weights that the run was fitted with."""
    if isinstance(run.schema, ImageSchema):
        return rows_of_images(read_images(data, run.schema), run.schema)
    source = read(data)
    if run.config["data"].get("missing") == "drop":
        absent = run.schema.missing(source)
        if absent.all():
            raise ValueError(f"{source.name}: every row has missing values in the columns of the run; give complete rows")
        source = replace(source, table=source.table.filter(pa.array(~absent)))
    weight = run.config["data"].get("weight")
    x, context = run.schema.encode(source)
    if weight is None or weight not in source.table.column_names:
        return Rows(x, context)
    return Rows(x, context, Schema([Column(weight)]).encode(source.table)[0][:, 0])
