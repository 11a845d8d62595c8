"""Who does the shards: this process, some processes beside it, or a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal, cast

import torch

from ..subjects import TableSubject, subject_of
from ..subjects.files import write_tables
from ..training import Run
from .operations import Operation
from .shards import Shard

Engine = Literal["local", "ray"]
Done = tuple[int, str | None]  # the number of a shard, and what was wrong with it

_worker: Worker | None = None  # of a process that was started for this


class Worker:
    """Answers shards with one run, which it loads once; a file appears when it is complete."""

    def __init__(self, run: str, operation: Operation, folder: str, threads: int | None = None):
        if threads is not None and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(threads)
        self.run, self.operation, self.folder = Run.load(run), operation, Path(folder)
        subject = subject_of(self.run)
        assert isinstance(subject, TableSubject)  # asked before any worker is made
        self.subject = subject

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        """One shard; what can't be answered is told and not raised, since an engine would wrap it in words of its own."""
        shard: Shard = task["shard"]
        try:
            write_tables(self.folder / shard.name, self.operation.tables(self.run, self.subject, shard))
        except (ValueError, OSError) as error:
            return {"number": task["number"], "error": str(error)}
        return {"number": task["number"], "error": None}


def engine(name: Engine, workers: int, arguments: tuple[Any, ...], shards: Sequence[tuple[int, Shard]]) -> Iterator[Done]:
    """The shards' numbers as they are done, in any order.

    Arguments:
        name: "local" or "ray".
        workers: processes, which share the processors of a machine.
        arguments: of :class:`Worker`.
        shards: what is to be done, numbered.

    Raises:
        ValueError: the engine is not installed, or one of its processes died.
    """
    run: Callable[..., Iterator[Done]] = {"local": _local, "ray": _ray}[name] if workers > 1 or name == "ray" else _here
    return run(workers, arguments, [{"number": number, "shard": shard} for number, shard in shards])


def _here(workers: int, arguments: tuple[Any, ...], tasks: list[dict[str, Any]]) -> Iterator[Done]:
    worker = Worker(*arguments)
    for task in tasks:
        yield _done(worker(task))


def _local(workers: int, arguments: tuple[Any, ...], tasks: list[dict[str, Any]]) -> Iterator[Done]:
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")  # a copy of a process with threads may hang
    with ProcessPoolExecutor(workers, context, _begin, (*arguments, threads)) as pool:
        try:
            for future in as_completed([pool.submit(_answer, task) for task in tasks]):
                yield _done(future.result())
        except BrokenProcessPool:
            raise ValueError("a worker died (killed, or out of memory); run the command again to go on, with fewer --workers") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # shards in hand are finished


def _ray(workers: int, arguments: tuple[Any, ...], tasks: list[dict[str, Any]]) -> Iterator[Done]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ValueError("the engine ray is not installed; use pip install 'pushforward[ray]', or --engine local") from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)  # RAY_ADDRESS says which cluster; else one here
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    rows = ray.data.from_items(tasks, override_num_blocks=len(tasks))
    answered = rows.map(cast(Any, Worker), fn_constructor_args=arguments, concurrency=workers)
    for answer in answered.iter_rows():
        yield _done(answer)


def _done(answer: dict[str, Any]) -> Done:
    return answer["number"], answer["error"]


def _begin(*arguments: Any) -> None:
    """A process of the pool gets its run, leaves Ctrl-C to its parent, and ends with it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _answer(task: dict[str, Any]) -> dict[str, Any]:
    assert _worker is not None
    return _worker(task)
