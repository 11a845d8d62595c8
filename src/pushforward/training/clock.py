"""The time that a run takes, and what a time limit makes of it."""

from __future__ import annotations

import time

from .checkpoint import TrainerState
from .processes import Processes

MEASURED_SHARE = 0.05  # share of the time limit after which speed is known well enough to decide
PLANNED_SHARE = 0.97  # share of the time limit that is planned for


class Clock:
    """Seconds of training over all sittings, the speed of steps, and decisions under a time limit.

    Arguments:
        began: ``time.perf_counter()`` when this sitting began.
        now: the counters; those of a resumed run hold the earlier seconds.
        limit: seconds, or ``None``.
        processes: they all go by the clock of the first.
    """

    def __init__(self, began: float, now: TrainerState, limit: float | None, processes: Processes):
        self._zero, self.limit, self._processes = began - now.seconds, limit, processes
        self._mark: tuple[int, float] | None = None  # step and second from which speed is measured
        self._first = now.step
        self._speed: float | None = None
        self._valid = 0.0

    def read(self, now: TrainerState, *wishes: bool) -> list[bool]:
        """Set ``now.seconds``; returns the first process's wishes (to stop, to save)."""
        now.seconds, *agreed = self._processes.agree(time.perf_counter() - self._zero, *map(float, wishes))
        if self._mark is None and now.step > self._first:  # the first step of a sitting is a slow one
            self._mark = now.step, now.seconds
        return [wish > 0 for wish in agreed]

    def step_seconds(self, now: TrainerState) -> float | None:
        """Of one step since the last validation, or before it if there are none since."""
        if self._mark and now.step > self._mark[0]:
            self._speed = max(1e-9, (now.seconds - self._mark[1]) / (now.step - self._mark[0]))
        return self._speed

    def validated(self, now: TrainerState) -> None:
        """To be called after a validation: it is timed, and speed is measured anew."""
        self.step_seconds(now)
        before = now.seconds
        self.read(now)
        self._valid = now.seconds - before
        if now.step > self._first:
            self._mark = now.step, now.seconds

    def restart(self, now: TrainerState) -> None:
        """Forget the speed measured so far: steps have become others."""
        self.read(now)
        self._mark, self._speed = (now.step, now.seconds), None

    def left(self, now: TrainerState) -> float | None:
        """Estimated seconds to the end."""
        speed = self.step_seconds(now)
        if speed is None or now.plan.steps is None:
            return None if self.limit is None else self.limit - now.seconds
        return (now.plan.steps - now.step) * (speed + self._valid / now.plan.every)

    def late(self, now: TrainerState) -> bool:
        """Whether it is time for the last validation."""
        return self.limit is not None and now.seconds + self._valid >= self.limit

    def rate(self, now: TrainerState, batch: int) -> float | None:
        """Rows per second."""
        speed = self.step_seconds(now)
        return None if speed is None else batch / speed

    def decide(self, now: TrainerState, first: bool = False) -> bool:
        """Fit the plan into the time limit; True if it has changed. ``first``: only if nothing is decided yet and speed is known."""
        speed = self.step_seconds(now)
        if self.limit is None or speed is None:
            return False
        if first and (now.plan.steps is not None or now.seconds < MEASURED_SHARE * self.limit):
            return False
        return now.plan.decide(now.step, PLANNED_SHARE * self.limit - self._valid - now.seconds, speed, self._valid)
