"""Whether other processes take the processors from a training, and how many threads it then has."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

import torch

TASKS = Path("/proc/self/task")  # of Linux: for each thread nanoseconds on a processor, and ready but waiting for one
LONG_ENOUGH = 20.0  # seconds after which shares and medians mean something
STARVED, QUIET = 0.4, 0.1  # of the time of its threads: the share that they wait from which they are too many, and could be more


class Threads:
    """Fewer threads while other processes are busy; when it is left, as many as before.

    OpenMP's threads wait for each other at the end of each operation, so that one that waits for a processor holds up all. Where they wait
    for most of the time, half as many are tried, and kept if the median step is shorter; where they hardly wait they become twice as many
    again. Nothing of this where the system does not say how long they wait, and a sentence instead where their number is fixed: by
    ``OMP_NUM_THREADS`` in the environment, or since compiled code was made for it.
    """

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks, self._most = tasks, torch.get_num_threads()
        self._before: tuple[int, float] | None = None  # while fewer are tried: how many there were, and the median step
        self._told, self._wait = False, LONG_ENOUGH
        self._begin()

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self._set(self._most)

    def stepped(self, seconds: float, fixed: bool = False) -> str | None:
        """After a step that took so long: what to say, if it is time to."""
        self._steps.append(seconds)
        if time.perf_counter() - self._since < self._wait:
            return None
        ran, waited, pace, threads = self._ran, self._waited, median(self._steps), torch.get_num_threads()
        self._begin()
        share = (self._waited - waited) / max(1, self._ran - ran + self._waited - waited)
        fixed = fixed or "OMP_NUM_THREADS" in os.environ
        if self._before and not fixed:
            return self._judge(share, threads, pace)
        if share >= STARVED and threads > 1 and not fixed:
            self._before = threads, pace
            self._set(threads // 2)
        elif share >= STARVED:
            return self._notice(share, threads)
        elif share < QUIET and threads < self._most and not fixed:
            self._set(min(self._most, 2 * threads))
            return f"processors are free: {torch.get_num_threads()} threads again"
        return None

    def _judge(self, share: float, threads: int, pace: float) -> str | None:
        assert self._before
        (many, before), self._before = self._before, None
        self._wait *= 2  # what was tried is not tried again soon
        if pace < before:
            self._told = True
            gain = f"{1000 * pace:.3g} ms a step instead of {1000 * before:.3g}"
            return f"other processes are busy: fewer threads are faster, {threads} instead of {many}, {gain}"
        self._set(many)
        return self._notice(share, many)

    def _notice(self, share: float, threads: int) -> str | None:
        if self._told:
            return None
        self._told = True
        remedy = "; if they stay so, OMP_NUM_THREADS=1 or GOMP_SPINCOUNT=1000 in the environment makes steps faster"
        return f"threads wait for a processor {share:.0%} of their time, since other processes are busy" + (remedy if threads > 1 else "")

    def _begin(self) -> None:
        self._ran, self._waited = ran_and_waited(self._tasks)
        self._since, self._steps = time.perf_counter(), list[float]()

    def _set(self, threads: int) -> None:
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)


def ran_and_waited(tasks: Path = TASKS) -> tuple[int, int]:
    """Nanoseconds of all threads of this process, on a processor and waiting for one; zeros where the system does not say."""
    ran = waited = 0
    for path in tasks.glob("*/schedstat"):
        try:
            own = path.read_text().split()
            ran, waited = ran + int(own[0]), waited + int(own[1])
        except (OSError, ValueError, IndexError):  # a thread has ended, or the kernel does not count
            continue
    return ran, waited
