"""What is kept about a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from .checkpoint import TrainerState

Stop = Literal["steps", "patience", "time limit", "interrupted"]


@dataclass(repr=False)
class History:
    """What happened in a fit.

    Attributes:
        steps: taken, over all sittings.
        best, best_step: the lowest validation loss (of the averaged weights, nats per row), and when; ``None`` if never finite.
        stopped: why it ended: ``"steps"``, ``"patience"``, ``"time limit"`` or ``"interrupted"``.
        seconds: of training, over all sittings.
        rollbacks, skipped: what the divergence guard did.
        records: one dict for each validation: ``step, loss, valid, lr, rows_per_second, seconds``, and what else was looked at.
        compiled: whether the last step ran as compiled code.
    """

    steps: int
    best: float | None
    best_step: int
    stopped: Stop
    seconds: float
    rollbacks: int
    skipped: int
    records: list[dict[str, Any]] = field(default_factory=list)
    compiled: bool = False

    def __repr__(self) -> str:
        """How it ended and the best validation figure, without the records."""
        best = "never finite" if self.best is None else f"{self.best:.4g} at step {self.best_step:,}"
        guard = f", {self.skipped} steps skipped, {self.rollbacks} rolled back" if self.skipped or self.rollbacks else ""
        looks = f"{len(self.records)} validation{'s' * (len(self.records) != 1)}"
        return f"History({self.steps:,} steps in {self.seconds:.0f} s, ended by: {self.stopped}; best of {looks}: {best}{guard})"


def record(now: TrainerState, figures: dict[str, float], lr: float, rate: float | None) -> dict[str, Any]:
    """One line of metrics; the loss is the mean since the last one."""
    total, count = now.tally[2] - now.logged[0], now.tally[3] - now.logged[1]
    now.logged, now.validated = now.tally[2:], now.step
    return {
        "step": now.step,
        "loss": total / count if count else None,
        **{name: figure if math.isfinite(figure) else None for name, figure in figures.items()},
        "lr": lr * now.factor * now.plan.rate(now.step),
        "rows_per_second": rate,
        "seconds": now.seconds,
    }
