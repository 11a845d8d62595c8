"""Runs that train: taken hold of, made, gone on with, and dropped if they never began."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .. import options as signature
from ..core import Flow
from ..data import Data, Schema, WholeSchema
from ..models.build import build
from ..subjects import subject_of
from ..training import History, Run
from ..training import fit as train
from ..training.directory import Config
from ..training.fit import check_options
from ..training.lock import reserve
from ..training.processes import Processes, count, first
from ..training.run import check_free, is_free


@contextmanager
def holding(out: str | Path | None, overwrite: bool, resume: bool) -> Iterator[Run | None]:
    """Hold the directory ``out`` for a run, and yield the one to go on with, if there is one and ``resume`` asks for it.

    Raises:
        ValueError: the place is taken, or another training holds it.
    """
    if out is None:
        yield None
        return
    path = Path(out)
    going_on = resume and not is_free(path)
    if count() > 1:  # the first process may have made the directory meanwhile
        going_on = bool(Processes().agree(float(going_on))[0])
    if not first():
        yield Run.load(path) if going_on else None
        return
    if not going_on:
        check_free(path, overwrite)
    with reserve(path):
        yield Run.load(path) if going_on else None


def create(out: str | Path | None, config: Config, data: Data, overwrite: bool) -> Run:
    """A run at ``out``; without one, in a temporary directory that goes with the object. Of many processes the first one writes it."""
    if out is not None and not first():
        return Run(out, config, data.schema)
    if out is not None:
        return Run.create(out, config, data.schema, overwrite=overwrite)
    path = tempfile.mkdtemp(prefix="pushforward-")
    run = Run.create(path, config, data.schema)
    weakref.finalize(run, shutil.rmtree, path, ignore_errors=True)
    return run


def untrained(config: Config, schema: Schema | WholeSchema, start: Run | None = None) -> Flow:
    """The flow of a run before training, the same for the same seed; with ``start``, it has that run's weights.

    Raises:
        ValueError: the run to start from has another model.
    """
    with torch.random.fork_rng():
        torch.manual_seed(config["train"].get("seed", 0))
        flow = build(config, schema)
    if start is not None:
        theirs = {name: value for name, value in start.config["model"].items() if config["model"].get(name) != value}
        if theirs:
            name, value = next(iter(theirs.items()))
            raise ValueError(f"{start.path}: its weights are for model.{name} = {value}, not {config['model'].get(name)}; leave that out")
        flow.load_state_dict(start.flow.state_dict())
    return flow


def train_into(run: Run, flow: Flow, data: Data, **options: Any) -> History:
    """Train the flow of a run; a new one that is refused before it began is dropped."""
    watch = subject_of(data).watch(run.path / "figures" / "training", data.valid)
    new = not (run.weights.exists() or run.state.exists() or run.metrics())
    try:
        return train(flow, data.lesson, data.valid, run=run, watch=watch, **options)
    except ValueError:
        if first() and new and not run.state.exists():
            run.discard()
        raise


def lengthen(run: Run, training: dict[str, Any], time_limit: float | None) -> dict[str, Any]:
    """The options of training for a run to go on with: to the steps or the time in all that are given now, else as planned."""
    options = signature.defaults(train) | run.config["train"] | training
    asked = {"steps": training.get("steps"), "time_limit": time_limit}
    if any(value is not None for value in asked.values()):
        options |= asked
        check_options(**options)
        run.config["train"] = options
        if first():
            run.decide("train")
    elif options.get("time_limit") and run.state.exists():
        return options | {"steps": None}  # the checkpoint knows how many the clock allowed
    return options


def check_same(run: Run, given: dict[str, dict[str, Any]], source: str | list[str] | None) -> None:
    """Raise unless what was given again is what the run was started with; only the steps, their number and who takes them, may change."""
    for table, values in given.items():
        for key, value in values.items():
            before = run.config[table].get(key)
            if value != before and (table, key) not in (("train", "steps"), ("train", "compile"), ("train", "strategy")):
                raise ValueError(
                    f"{run.path}: was started with {table}.{key} = {before}, not {value}; leave it out to resume, or use --overwrite"
                )
    if source != run.config["data"]["source"]:
        raise ValueError(
            f"{run.path}: was started on {run.config['data']['source']}, not on {source}; give that, choose another place with "
            "--from and this run to train its weights on, or use --overwrite"
        )
