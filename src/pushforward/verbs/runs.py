"""Runs as the verbs take them, and what is written beside one after fitting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..data import Data, Rows
from ..data.contents import fingerprints, whereabouts
from ..data.rows import concatenated
from ..documents import read_json
from ..evaluation import Results
from ..subjects import Subject, subject_of
from ..training import Run
from ..training.atomic import write_tensors, write_text
from ..training.run import ROWS

Wanted = TypeVar("Wanted", bound=Subject)


def load(run: Run | str | Path) -> Run:
    """A run from its directory; a :class:`Run` is handed back as it is.

    Raises:
        ValueError: there is no run, or one of its files is damaged.

    Example::

        >>> load("runs/moons-nsf").flow.sample((5,)).shape
        torch.Size([5, 2])
    """
    return run if isinstance(run, Run) else Run.load(run)


def subject_as(who: str, run: Run, kind: type[Wanted]) -> Wanted:
    """The data of a run, for a verb that is there for one kind of data only.

    Raises:
        ValueError: the run is of another kind.
    """
    subject = subject_of(run)
    if not isinstance(subject, kind):
        raise ValueError(f"{who}: {run.path} was fitted to {subject.noun}; this verb {kind.purpose}")
    return subject


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
    """The data that a run was fitted to, read again; its rows are known by content, wherever they stand in a file that has changed since.

    Raises:
        ValueError: they were given as an object in memory, or are no longer there, or other rows are in their place.
    """
    if run.request.in_memory:
        raise ValueError(f"{run.path}: was fitted to data in memory, which can't be read again; give the data")
    subject = subject_of(run)
    return _as_fitted(run, subject.read(run.request, subject.schema))


def keep_rows(run: Run, data: Data) -> None:
    """Write down which rows are in which split, by content, if they come from files: those may change."""
    sources = run.config["data"]["source"]
    if any(Path(source).exists() or "*" in source for source in ([sources] if isinstance(sources, str) else sources or [])):
        splits = {"train": data.train, "valid": data.valid, "test": data.test}
        prints = {name: torch.from_numpy(fingerprints(rows).view(np.int64)) for name, rows in splits.items()}
        write_tensors(run.path / ROWS, prints, {"format": "pushforward rows 1"})


def _as_fitted(run: Run, data: Data) -> Data:
    """The data with the rows of a run in its splits, wherever they stand now."""
    path = run.path / ROWS
    if not path.is_file():  # of a name, or of a run from before such files
        return data
    splits = [data.train, data.valid, data.test]
    try:
        kept = load_file(path)
        wanted = [kept[name].view(torch.int64).flatten().numpy().view(np.uint64) for name in ("train", "valid", "test")]
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: truncated or not a list of rows ({error}); put the original file back") from None
    present = [fingerprints(rows) for rows in splits]
    if all(map(np.array_equal, wanted, present)):
        return data
    if data.stored is not None:  # rows that were held out may stand among those in the file
        raise ValueError(f"{run.path}: {data.name} has changed since the fit, and is too large for its rows to be found again; fit anew")
    at = whereabouts(np.concatenate(wanted), np.concatenate(present))
    pool, found = concatenated(splits), np.split(at, np.cumsum([len(part) for part in wanted])[:-1])
    gone = [int((part < 0).sum()) for part in found]
    if any(len(part) == missing for part, missing in zip(found, gone)):
        raise ValueError(f"{run.path}: the rows that it was fitted to are no longer in {data.name}; give the rows to use, or the old file")
    lost = ", ".join(f"{n:,} {name} rows" for n, name in zip(gone, ("training", "validation", "test")) if n)
    note = f"{data.name} has changed since the fit: {len(pool) - int((at >= 0).sum()):,} new rows are left out"
    train, valid, test = (pool.pick(part[part >= 0]) for part in found)
    return replace(data, train=train, valid=valid, test=test, notes=[*data.notes, f"{note}; {lost} are gone." if lost else f"{note}."])


def rows_of(run: Run, data: Any) -> Rows:
    """All rows of a path, array or table in the run's schema; weighted if they have the column of weights that the run was fitted with."""
    return subject_of(run).rows(data, run.request)
