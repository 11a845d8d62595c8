"""Seconds of training until a validation figure: how peers are trained, and how we are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward import Flow
from pushforward.data import Rows
from pushforward.training import fit

from .torch_works import Model


@dataclass(frozen=True)
class Point:
    """A validation: seconds since the start, validations included, and the mean negative log-likelihood in nats."""

    seconds: float
    nats: float


@dataclass(frozen=True)
class Schedule:
    """How a peer is trained: the learning rate falls to zero along half a cosine of the time that there is.

    Attributes:
        seconds: in all.
        every: steps between validations.
        clip: the largest norm of the gradient.
    """

    seconds: float
    rate: float
    batch: int
    every: int
    clip: float | None = None


def train(model: Model, rows: Tensor, valid: Tensor, schedule: Schedule, *, compiled: bool = False) -> tuple[list[Point], float]:
    """A plain loop with Adam, as in a peer's own examples; the figure is that of the weights as they are.

    Returns the course and the seconds of the first gradient, with its compilation, which are not part of the course.
    """
    log_prob = torch.compile(model.log_prob, dynamic=False) if compiled else model.log_prob
    optimizer = torch.optim.Adam(model.module.parameters(), lr=schedule.rate, fused=True)

    def gradient(at: Tensor) -> None:
        optimizer.zero_grad()
        (-log_prob(rows[at].float(), None).mean()).backward()

    start = time.perf_counter()
    gradient(torch.arange(schedule.batch))
    first, start = time.perf_counter() - start, time.perf_counter()
    points: list[Point] = []
    batches = len(rows) // schedule.batch
    order, step = torch.randperm(len(rows)), 0
    while (share := (time.perf_counter() - start) / schedule.seconds) < 1:
        turn = step % batches
        if turn == 0:
            order = torch.randperm(len(rows))
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * 0.5 * (1 + math.cos(math.pi * share))
        gradient(order[turn * schedule.batch : (turn + 1) * schedule.batch])
        if schedule.clip:
            torch.nn.utils.clip_grad_norm_(model.module.parameters(), schedule.clip)
        optimizer.step()
        step += 1
        if step % schedule.every == 0:
            points.append(Point(time.perf_counter() - start, judge(model.log_prob, valid)))
    return [*points, Point(time.perf_counter() - start, judge(model.log_prob, valid))], first


@torch.no_grad()
def judge(log_prob: Callable[[Tensor, Tensor | None], Tensor], valid: Tensor, rows: int = 512) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(torch.cat([-log_prob(part.float(), None) for part in valid.split(rows)]).mean())


def ours(build: Callable[[], Flow], rows: Tensor, valid: Tensor, target: float, budgets: list[float], **options: Any) -> list[Point]:
    """The course of our fit with the smallest of the time limits that reaches the target, or with the last of them."""
    points: list[Point] = []
    for seconds in budgets:
        torch.manual_seed(0)
        history = fit(build(), Rows(rows), Rows(valid), time_limit=seconds, patience=0, progress=False, **options)
        points = [Point(r["seconds"], r["valid"]) for r in history.records if r["valid"] is not None]
        if any(p.nats <= target for p in points):
            break
    return points


def reached(points: list[Point], target: float) -> float | None:
    """Seconds until the figure was as good as the target."""
    return next((p.seconds for p in points if p.nats <= target), None)


def best(points: list[Point]) -> Point:
    return min((p for p in points if math.isfinite(p.nats)), key=lambda p: p.nats)
