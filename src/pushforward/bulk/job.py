"""A folder of part files: what belongs into it, what is there already, and what it says when it is complete."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pyarrow.parquet as pq

from ..data.compute import pc
from ..data.formats import ROWS_AT_ONCE, parquet_batches
from ..documents import read_json
from ..subjects import Scored, TableSubject, subject_of
from ..training import Run
from ..training.atomic import write_text
from ..training.lock import occupants, reserve
from ..words import duration, tell
from .engines import Engine, engine
from .operations import Operation
from .shards import Shard

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

MANIFEST = "_job.json"  # readers of folders of Parquet files pass over names that begin so
TOLD_EVERY = 10.0  # seconds


class Job:
    """An operation over shards, into a folder; what is there already is not made again.

    A part file is a function of the run's weights, the operation and its shard, and appears when it is complete. So a job that was
    stopped goes on where it was, with any engine and any number of workers, and ends with the same files.

    Arguments:
        run: whose answers are wanted.
        operation: the question.
        shards: of the rows.
        folder: where the part files go, beside :data:`MANIFEST`, which says of what they are.

    Example::

        >>> job = Job(Run.load("runs/flights"), Imputation(), shards_of("impute", "flights/"), Path("filled"))
        >>> job.run(workers=2)
    """

    def __init__(self, run: Run, operation: Operation, shards: Sequence[Shard], folder: Path):
        self._run, self.operation, self.shards, self.folder = run, operation, list(shards), folder
        weights = hashlib.sha256(run.weights.read_bytes()).hexdigest()
        described = {"version": 1, "weights": weights, "operation": operation.to_json(), "shards": [asdict(shard) for shard in shards]}
        self.manifest: dict[str, Any] = json.loads(json.dumps(described))

    def dataset(self) -> Dataset:
        """The part files as one table that is not in memory."""
        from pyarrow.dataset import dataset  # imports pandas

        return dataset([str(self.folder / shard.name) for shard in self.shards])

    def run(self, *, engine_name: Engine = "local", workers: int = 1, progress: bool = True) -> Job:
        """Make what is missing; the job itself is returned.

        Raises:
            ValueError: the folder holds something else, or a shard can't be answered; other shards stay.
        """
        with reserve(self.folder):
            self._begin()
            missing = [(number, shard) for number, shard in enumerate(self.shards) if not (self.folder / shard.name).is_file()]
            if progress and len(missing) < len(self.shards):
                tell(
                    f"{self.folder}: {len(self.shards) - len(missing):,} of {len(self.shards):,} part files are there; the others are made"
                )
            if missing:
                done = engine(engine_name, workers, (str(self._run.path), self.operation, str(self.folder.resolve())), missing)
                self._follow(done, sum(shard.rows for _, shard in missing), progress)
        return self

    def _begin(self) -> None:
        path = self.folder / MANIFEST
        if path.is_file():
            try:
                same = read_json(path) == self.manifest
            except ValueError:
                same = False
            if not same:
                raise ValueError(
                    f"{self.folder}: holds the part files of another job (another run, other rows or options); choose another place"
                )
        elif inside := occupants(self.folder):
            raise ValueError(f"{self.folder}: holds {min(inside)!r}, which is no part file; choose another place")
        else:
            write_text(path, json.dumps(self.manifest, indent=1) + "\n")

    def _follow(self, done: Iterator[tuple[int, str | None]], rows: int, progress: bool) -> None:
        began = told = time.perf_counter()
        ready = 0
        for number, error in done:
            if error is not None:
                raise ValueError(error)
            ready += self.shards[number].rows
            now = time.perf_counter()
            if progress and now - told > TOLD_EVERY and ready < rows:
                told, rate = now, ready / (now - began)
                tell(f"{ready:,} of {rows:,} rows, {rate:,.0f} rows/s, {duration((rows - ready) / max(rate, 1e-9))} to go")


def into_parts(who: str, run: Run, out: str | Path | None, engine_name: str, workers: int) -> bool:
    """Whether an output is a folder of part files: of a table's run, without an ending or a folder already.

    Raises:
        ValueError: it is none, but an engine or workers are asked for; they are none.
    """
    if engine_name not in get_args(Engine) or workers < 1:
        raise ValueError(
            f"{who}: expected the engine {' or '.join(get_args(Engine))} and at least one worker, got {engine_name!r} and {workers}"
        )
    if out is not None and (Path(out).is_dir() or not Path(out).suffix) and isinstance(subject_of(run), TableSubject):
        return True
    if (engine_name, workers) != ("local", 1):
        raise ValueError(f"{who}: several workers answer a table in a folder of part files; give one: -o FOLDER")
    return False


def seed_of(folder: Path) -> int | None:
    """The seed of the job whose part files a folder holds, if it holds any."""
    path = folder / MANIFEST
    try:
        return int(read_json(path)["operation"]["seed"]) if path.is_file() else None
    except (ValueError, KeyError, TypeError):
        return None


def summary(job: Job, kind: str) -> Scored:
    """What scoring found, from its part files, some columns at a time."""
    scored, total, counted = Scored(None, kind=kind), 0.0, 0
    for shard in job.shards:
        with pq.ParquetFile(job.folder / shard.name) as file:
            wanted = [column for column in ("log_likelihood", "unusual") if column in file.schema_arrow.names]
        for batch in parquet_batches(job.folder / shard.name, ROWS_AT_ONCE, wanted):
            values = batch["log_likelihood"]
            figures = values.drop_null().to_numpy(zero_copy_only=False)
            possible = figures[figures > -math.inf]
            scored.rows, scored.missing = scored.rows + len(values), scored.missing + values.null_count
            scored.impossible += len(figures) - len(possible)
            total, counted = total + float(possible.sum()), counted + len(possible)
            if "unusual" in wanted:
                scored.unusual += pc.sum(batch["unusual"]).as_py() or 0
    scored.nats = total / counted if counted else math.nan
    return scored
