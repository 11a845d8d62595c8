"""What a run says while it trains: a bar in a terminal, a line now and then elsewhere; all of it on stderr."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from ..words import duration, printable, tell
from .checkpoint import TrainerState

if TYPE_CHECKING:
    from rich.progress import Progress

REDRAW = 0.25  # seconds between looks at the bar
LINE = 10.0  # seconds between plain lines


class Display:
    """Step, smoothed loss, best validation figure, examples per second and time left.

    Arguments:
        shown: False says only what must be said (by :meth:`say`, not by :meth:`note`).
        speaks: False, as on all processes but the first, says nothing at all.
        dim: numbers of an image; then losses are shown in bits per dimension.
        matching: the loss of training is a mean square and no likelihood, and shown as it is.
    """

    def __init__(self, shown: bool, speaks: bool = True, dim: int | None = None, matching: bool = False):
        self.shown, self.speaks = shown and speaks, speaks
        self._nats, self._unit = (1.0, "") if dim is None else (dim * math.log(2), " bits/dim")
        self._matching = matching
        self._bar: Progress | None = None
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
            self._task = self._bar.add_task("", total=None)
        self._interval = REDRAW if self._bar else LINE
        self._next = time.perf_counter() + self._interval
        self._loss: float | None = None
        self._seen = [0.0, 0.0]

    def __enter__(self) -> Display:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def due(self) -> bool:
        """Whether enough time has passed to show something new."""
        return self.shown and time.perf_counter() >= self._next

    def update(self, now: TrainerState, rate: float | None, seconds_left: float | None) -> None:
        """Show where the run is; ``rate`` in rows per second."""
        total, count = now.tally[2] - self._seen[0], now.tally[3] - self._seen[1]
        if count > 0:
            loss, self._seen = total / count, now.tally[2:]
            self._loss = loss if self._loss is None else 0.8 * self._loss + 0.2 * loss
        self._next = time.perf_counter() + self._interval
        steps = now.plan.steps
        parts = [f"step {now.step:,}" + (f" of {steps:,}" if steps else "")]
        if self._loss is not None:
            parts.append(f"loss {self._loss:.3f}" if self._matching else f"loss {self._loss / self._nats:.3f}{self._unit}")
        parts += [] if now.best is None else [f"best valid {now.best / self._nats:.4f}{self._unit}"]
        parts += [] if rate is None else [f"{rate:,.0f} rows/s"]
        parts += [] if seconds_left is None else [f"{duration(seconds_left)} left"]
        words = " | ".join(parts)
        if self._bar:
            self._bar.update(self._task, completed=now.step, total=steps, description=words)
        else:
            print(words, file=sys.stderr, flush=True)

    def note(self, sentence: str) -> None:
        """A sentence that goes with the progress."""
        if self.shown:
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """A sentence on a line of its own, above the bar."""
        if not self.speaks:
            return
        if self._bar:
            self._bar.console.print(printable(sentence, 1000), markup=False, highlight=False)
        else:
            tell(sentence)
