"""What a fit says at its turns, and writes down about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..words import duration
from .checkpoint import TrainerState
from .clock import PLANNED_SHARE
from .display import Display
from .history import Stop
from .schedule import Plan

if TYPE_CHECKING:
    from .directory import Directory


def announce(plan: Plan, time_limit: float | None, run: Directory | None, display: Display) -> None:
    """What the clock has decided belongs to the run's configuration: without a clock it can then be repeated."""
    if run:
        run.decide("train", steps=plan.steps, every=plan.every)
    if time_limit:
        display.note(f"{plan.steps:,} steps fit into {duration(time_limit)}")


def keep_choice(now: TrainerState, run: Directory | None) -> None:
    """Whether steps run compiled, and in what precision, was decided by the clock too."""
    decided = {"compile": now.compiled, "precision": now.precision}
    before = run.config.get("train", {}) if run else {}
    if run and (new := {name: value for name, value in decided.items() if value and before.get(name) != value}):
        run.decide("train", **new)


def greet(now: TrainerState, time_limit: float | None, patience: int, display: Display) -> None:
    """At the start of a further sitting."""
    spent = time_limit is not None and now.seconds >= PLANNED_SHARE * time_limit
    if now.step >= now.plan.end or spent or (patience and now.waited >= patience):
        display.say(
            f"the training had come to its end, after {now.step:,} steps in {duration(now.seconds)}; to go on, resume with more steps "
            f"than that (train.steps) or a longer time in all (--time-limit)"
        )
    else:
        display.note(f"going on from step {now.step:,}")
    threads = torch.get_num_threads()
    if threads != now.threads:
        display.say(f"note: {threads} CPU threads instead of {now.threads}; the last bits of the weights may come out differently")


def farewell(stopped: Stop, now: TrainerState, signal: str | None, run: Directory | None, display: Display) -> None:
    """At the end, if there is something to say."""
    if stopped == "interrupted":
        where = "the weights are kept in memory only" if run is None else f"to be resumed from the checkpoint in {run.path}"
        display.say(f"stopped by {signal or 'a signal'} at step {now.step:,}; {where}")
    elif now.best is None:
        display.say("no validation loss was finite: the last averaged weights are kept; look for values outside the support")
    if now.tally[1]:
        display.say(f"{int(now.tally[1]):,} of {now.step:,} steps were skipped, since the loss or its gradient was not finite")
