"""Whether other processes take the processors from a training."""

from __future__ import annotations

import time
from pathlib import Path

import torch

TASKS = Path("/proc/self/task")  # of Linux: for each thread nanoseconds on a processor, and ready but waiting for one
LONG_ENOUGH = 20.0  # seconds after which a share means something
STARVED = 0.4  # share of the time of its threads


class Starvation:
    """Tells once that the threads of this process wait for a processor for most of the time; never where the system does not say.

    OpenMP's threads wait for each other at the end of each operation, so that one that waits holds up all.
    """

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks, self._told = tasks, False
        self._ran, self._waited = ran_and_waited(tasks)
        self._since = time.perf_counter()

    def notice(self) -> str | None:
        """What to say, if it is time to."""
        if self._told or time.perf_counter() - self._since < LONG_ENOUGH:
            return None
        ran, waited = ran_and_waited(self._tasks)
        share = (waited - self._waited) / max(1, ran - self._ran + waited - self._waited)
        self._ran, self._waited, self._since = ran, waited, time.perf_counter()
        if share < STARVED:
            return None
        self._told = True
        remedy = "; on a machine that stays so, OMP_NUM_THREADS=1 or GOMP_SPINCOUNT=1000 in the environment makes steps faster"
        said = f"threads wait for a processor {share:.0%} of their time, since other processes are busy"
        return said + (remedy if torch.get_num_threads() > 1 else "")


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
