"""Everybody in turn, round after round, so that whatever the machine does meets all of them.

Each turn is two calls, of which the second counts: training and scoring are the same call over and over, whose code and weights are in the
cache and whose threads are awake, not one call behind those of ten others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .contender import Contender

REST = 0.003  # seconds between turns, in which the threads of the one before fall asleep
WARM = 2  # rounds that do not count
MOST, LEAST = 200, 5


@dataclass
class Timing:
    """What was seen of one contender; seconds, and bytes.

    Attributes:
        first: the first call, with tracing and compilation.
        median, low, high: the middle of the counted calls, and their quartiles.
        peak: memory of a call beyond what is held between calls.
        error: why it does not work; then the rest is missing.
    """

    library: str
    mode: str
    first: float = 0.0
    median: float = 0.0
    low: float = 0.0
    high: float = 0.0
    count: int = 0
    peak: float | None = None
    error: str = ""

    def record(self) -> dict[str, Any]:
        return asdict(self)


def first_calls(contenders: Sequence[Contender], say: Callable[[str], None]) -> tuple[list[Contender], list[Timing]]:
    """Call each once, and leave out who fails."""
    working, timings = [], []
    for contender in contenders:
        timing = Timing(contender.library, contender.mode)
        try:
            timing.first = contender.seconds()
            timing.peak = contender.peak()
            working.append(contender)
        except Exception as error:  # a peer may fail in any way, above all when compiled
            timing.error = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100] if str(error).strip() else ''}"
        timings.append(timing)
        say(f"{timing.library} {timing.mode}: {timing.error or f'first call {timing.first:.2f} s'}")
    return working, timings


def rounds(contenders: Sequence[Contender], timings: Sequence[Timing], budget: float) -> None:
    """Rounds for ``budget`` seconds, at least a few; fills in the timings."""
    seen: list[list[float]] = [[] for _ in contenders]
    start = time.perf_counter()
    for turn in range(WARM + MOST):
        for contender, times in zip(contenders, seen):
            time.sleep(REST)
            contender.seconds()
            times.append(contender.seconds())
        if turn + 1 >= WARM + LEAST and time.perf_counter() - start > budget:
            break
    found = {(c.library, c.mode): times[WARM:] for c, times in zip(contenders, seen)}
    for timing in timings:
        if times := found.get((timing.library, timing.mode)):
            timing.low, timing.median, timing.high = statistics.quantiles(times, n=4, method="inclusive")
            timing.count = len(times)
