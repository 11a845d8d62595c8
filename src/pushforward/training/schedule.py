"""How long, how fast, which rows: pure functions of the seed and the step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def default_steps(rows: int, batch: int) -> int:
    """Twenty-five passes over the data, but at least 1,500 and at most 20,000 steps."""
    return min(max(1_500, 25 * math.ceil(rows / batch)), 20_000)


def default_interval(steps: int, batch: int, valid_rows: int) -> int:
    """Steps between validations: 50 in a run, fewer where they would see more than a third of the rows that training sees.

    A validation row costs about a third of a training row, so validation takes at most a tenth of the time, if at least 5 are made.
    """
    return max(1, steps // 50, min(math.ceil(3 * valid_rows / batch), steps // 5))


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed out of numbers and words; neighbouring steps get unrelated ones."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


class EpochOrder:
    """Which rows make the batch of a step: a seeded permutation for each pass, one pass after the other.

    Every row is seen once a pass; a batch may hold the end of one pass and the start of the next, so all have one size.

    Example::

        >>> EpochOrder(rows=1000, batch=64, seed=0)(step=3).shape
        torch.Size([64])
    """

    def __init__(self, rows: int, batch: int, seed: int):
        self.rows, self.batch, self.seed = rows, min(batch, rows), seed
        self._passes: dict[int, Tensor] = {}  # the one or two that are in use

    def __call__(self, step: int) -> Tensor:
        turn, start = divmod(step * self.batch, self.rows)
        head = self.part(turn, start, self.batch)
        if len(head) == self.batch:
            return head
        return torch.cat([head, self.part(turn + 1, 0, self.batch - len(head))])

    def part(self, turn: int, start: int, count: int) -> Tensor:
        """Some rows of one pass, fewer where it ends."""
        return self._permutation(turn)[start : start + count]

    def _permutation(self, turn: int) -> Tensor:
        """The rows of one pass."""
        if turn not in self._passes:
            self._passes = {t: p for t, p in self._passes.items() if t == turn - 1}
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", turn))
            self._passes[turn] = torch.randperm(self.rows, generator=generator)
        return self._passes[turn]


class WindowOrder(EpochOrder):
    """The same for rows on a disk, which are fast to read only where they lie together: windows of random blocks, shuffled one by one.

    A pass permutes blocks of rows that lie together and takes so many of them as make a window; its rows are shuffled. So a window's rows
    come from everywhere, memory holds the numbers of one window, and an order is still a function of ``(seed, step)`` alone.

    Arguments:
        window: rows that are shuffled together.
        block: rows that lie together on the disk.

    Example::

        >>> WindowOrder(rows=10_000_000, batch=512, seed=0, window=2**20)(step=3).shape
        torch.Size([512])
    """

    def __init__(self, rows: int, batch: int, seed: int, window: int, block: int = 4096):
        super().__init__(rows, batch, seed)
        self.block = min(block, rows)
        self.window = max(1, window // self.block) * self.block
        self._windows: dict[tuple[int, int], Tensor] = {}  # the one or two that are in use

    def part(self, turn: int, start: int, count: int) -> Tensor:
        found, stop = [], min(start + count, self.rows)
        while start < stop:
            number, offset = divmod(start, self.window)
            rows = self._window(turn, number)[offset : offset + stop - start]
            found.append(rows)
            start += len(rows)
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.long)

    def _window(self, turn: int, number: int) -> Tensor:
        key = turn, number
        if key not in self._windows:
            blocks = -(-self.rows // self.block)
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "blocks", turn))
            whole = torch.randperm(self.rows // self.block, generator=generator)  # a last one that is not full stays the last
            order = torch.cat([whole, torch.arange(len(whole), blocks)])
            per = self.window // self.block
            rows = (order[number * per : (number + 1) * per, None] * self.block + torch.arange(self.block)).flatten()
            rows = rows[rows < self.rows]
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "window", turn, number))
            last = dict([*self._windows.items()][-1:])
            self._windows = last | {key: rows[torch.randperm(len(rows), generator=generator)]}
        return self._windows[key]


@dataclass
class Plan:
    """The course of a run: steps, validations and the learning rate's shape, with what a time limit decided about them.

    The rate warms up linearly, then falls to zero as half a cosine of the progress; progress is linear from ``done`` at step
    ``start`` to 1 at step ``steps``. A time limit leaves ``steps`` open (progress stays 0) until speed has been measured.

    Attributes:
        asked: the steps that were asked for, if any; a time limit does not go beyond.
        steps: the number of steps, ``None`` while it is open.
        every: steps between validations.
        warmup: steps of the linear warm-up.
        start, done: where the last decision was taken, and the progress at that step.
        limit: the time limit in seconds that the steps are fitted to, if there is one.
    """

    asked: int | None
    steps: int | None
    every: int
    warmup: int
    start: int
    done: float = 0.0
    limit: float | None = None

    @property
    def end(self) -> float:
        """The step to stop at, as far as is known."""
        known = self.asked if self.steps is None else self.steps
        return math.inf if known is None else known

    def progress(self, step: int) -> float:
        if self.steps is None or step <= self.start:
            return self.done
        return self.done + (1 - self.done) * min(1.0, (step - self.start) / max(1, self.steps - self.start))

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of the largest."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * self.progress(step)))

    def decide(self, step: int, seconds: float, step_seconds: float, valid_seconds: float) -> bool:
        """Choose the steps that fit into the ``seconds`` left, unless what is planned is within 5 % of that; True if changed.

        The first decision also sets the interval of validations, so that they take a tenth of the time at most.
        """
        every, fits = self.every, seconds / step_seconds
        if self.steps is None:
            every = max(1, int(fits) // 50, math.ceil(valid_seconds / (0.1 * step_seconds)))
        steps = step + max(1, int(seconds / (step_seconds + valid_seconds / every)))
        if self.asked is not None:
            steps = min(steps, self.asked)
        if self.steps is not None and abs(steps - self.steps) <= 0.05 * (self.steps - step):
            return False
        if self.steps is None:
            self.warmup = min(self.warmup, max(step, steps // 10))
        self.done, self.start = self.progress(step), max(step, self.warmup)
        self.steps, self.every = steps, every
        return True

    def change(self, asked: int | None, limit: float | None, step: int, seconds: float) -> bool:
        """Take a run that has come to ``step`` in ``seconds`` to other steps or another time limit; True if they are others.

        From there progress is what it would be, had the new course been planned from the start.
        """
        if asked is not None and asked not in (self.steps, self.asked):
            self.asked = self.steps = asked
            self.done = max(0, step - self.warmup) / max(1, asked - self.warmup)
        elif asked is None and limit is not None and limit != self.limit:
            self.asked = self.steps = None  # to be decided when the speed is known
            self.done = seconds / limit
        else:
            return False
        self.start, self.done, self.limit = max(step, self.warmup), min(1.0, self.done), limit
        return True


def course(asked: int | None, usual: int, every: int | None, interval: Callable[[int], int], warmup: int, time_limit: float | None) -> Plan:
    """The course as far as it is known before the first step.

    Arguments:
        asked: the steps that were asked for, if any; ``usual`` otherwise, and what fits into a time limit.
        every: steps between validations; ``interval`` of the steps otherwise.
        warmup: steps of the linear warm-up; a tenth of all at most.
    """
    total = None if time_limit else usual if asked is None else asked
    warmup = warmup if total is None else min(warmup, total // 10)
    return Plan(asked, total, every or interval(total or asked or usual), warmup, start=warmup, limit=time_limit)


def check_positive(who: str, **values: float | None) -> None:
    """ValueError unless each value, if there is one, is a positive number."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{who}: expected {name} > 0, got {value}")
