"""Ordinary differential equations by Runge-Kutta steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Tensor

Solver = Literal["midpoint", "heun", "rk4", "dopri5"]
Field = Callable[[float | Tensor, Tensor, bool], tuple[Tensor, ...]]  # time, z, whether all is needed -> dz/dt, and integrands
Times = Sequence[float | Tensor]  # where steps begin and end: numbers, or one for each row


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method: when its stages are, what of the stages before enters each, and what of them makes the step."""

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


TABLEAUS: dict[Solver, Tableau] = {
    "midpoint": Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun": Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "rk4": Tableau((0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "dopri5": Tableau(
        (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
        (
            (),
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        ),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
}


def even(start: float, end: float | Tensor, steps: int) -> Times:
    """Times of steps of equal length."""
    return [start + number * (end - start) / steps for number in range(steps + 1)]


def integrate(field: Field, z: Tensor, integrals: tuple[Tensor, ...], *, times: Times, solver: Solver) -> tuple[Tensor, ...]:
    r"""``z`` at the last of the times, of ``dz/dt = f(t, z)`` from z at the first, and integrals along the way.

    The error of a step is of order 6 in its length for "dopri5", 5 for "rk4", 3 for the others. Cost: 6, 4 or 2 evaluations of the field
    a step. An integrand is asked for at the stages that count alone; with "rk4" by Simpson's rule instead, at the ends of a step, which
    steps share, and in its middle, where a cubic through both ends with their slopes says that z is: twice a step and not 4 times.

    Arguments:
        field: ``dz/dt`` at a time and a z, and where asked for the integrands, which depend on z and t alone.
        z: at the start.
        integrals: at the start, as many as there are integrands.
        times: where steps begin and end, rising or falling; numbers, or ``(B,)`` with one for each row.
        solver: "midpoint", "heun", "rk4" or "dopri5" (its steps of fifth order).

    Example::

        >>> z, area = integrate(lambda t, z, full: (z, z.square().sum(1))[: 1 + full], torch.ones(1, 1), (torch.zeros(1),),
        ...                     times=even(0.0, 1.0, 8), solver="rk4")
        >>> round(z.item(), 4), round(area.item(), 4)
        (2.7183, 3.1945)
    """
    method, simpson = TABLEAUS[solver], solver == "rk4" and bool(integrals)
    first = field(times[0], z, True) if simpson else None
    for at, then in pairwise(times):
        step = then - at
        slopes = [] if first is None else [first]
        for i in range(len(slopes), len(method.nodes)):
            here = moved(z, step, method.stages[i], [slope[0] for slope in slopes])
            slopes.append(field(at + method.nodes[i] * step, here, method.weights[i] != 0 and not simpson))
        end, found = moved(z, step, method.weights, [slope[0] for slope in slopes]), list(zip(method.weights, slopes, strict=True))
        if first is not None:
            last = field(then, end, True)
            middle = field(at + step / 2, moved((z + end) / 2, step, (1 / 8, -1 / 8), (first[0], last[0])), True)
            found, first = [(1 / 6, first), (2 / 3, middle), (1 / 6, last)], last
        z = end
        for weight, (_, *integrands) in found:
            if weight:
                integrals = tuple(total + (weight * step) * part for total, part in zip(integrals, integrands, strict=True))
    return z, *integrals


def evaluations(solver: Solver, steps: int, integrals: bool) -> int:
    """Of the field in so many steps, with integrals along the way or without."""
    return steps * (len(TABLEAUS[solver].nodes) + (solver == "rk4" and integrals)) + (solver == "rk4" and integrals)


def moved(z: Tensor, step: float | Tensor, shares: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """``z + step sum_i share_i slope_i``, the step a number or one for each row."""
    if isinstance(step, Tensor) and step.dim():
        step = step.reshape(-1, *(1 for _ in z.shape[1:]))
    for share, slope in zip(shares, slopes, strict=False):
        if share:
            z = z + (share * step) * slope
    return z
