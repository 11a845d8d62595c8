"""Ordinary differential equations by fixed steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

Solver = Literal["midpoint", "heun", "rk4"]
Field = Callable[[float | Tensor, Tensor, bool], tuple[Tensor, ...]]  # time, z, whether all is needed -> dz/dt, and integrands


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method: when its stages are, what of the stages before enters each, and what of them makes the step."""

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


TABLEAUS: dict[Solver, Tableau] = {
    "midpoint": Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun": Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "rk4": Tableau((0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


def integrate(
    field: Field, z: Tensor, integrals: tuple[Tensor, ...], *, start: float, end: float | Tensor, steps: int, solver: Solver
) -> tuple[Tensor, ...]:
    r"""``z(end)`` of ``dz/dt = f(t, z)`` from ``z(start)``, and integrals along the way, ``steps`` steps of equal length.

    The error of a step is of order 5 in its length for "rk4", of order 3 for the others. Cost: 4 evaluations of the field a step, or 2.
    An integrand is asked for at the stages that count alone.

    Arguments:
        field: ``dz/dt`` at a time and a z, and where asked for the integrands, which depend on z and t alone.
        z: at the start.
        integrals: at the start, as many as there are integrands.
        start, end: times; the end may come before the start.
        steps: how many.
        solver: "midpoint", "heun" or "rk4".

    Example::

        >>> z, area = integrate(lambda t, z, full: (z, z.square().sum(1))[: 1 + full], torch.ones(1, 1), (torch.zeros(1),),
        ...                     start=0.0, end=1.0, steps=8, solver="rk4")
        >>> round(z.item(), 4), round(area.item(), 4)
        (2.7183, 3.1945)
    """
    method, step = TABLEAUS[solver], (end - start) / steps
    for number in range(steps):
        at = start + number * step
        slopes: list[tuple[Tensor, ...]] = []
        for node, stage, weight in zip(method.nodes, method.stages, method.weights, strict=True):
            here = z
            for share, slope in zip(stage, slopes, strict=False):
                if share:
                    here = here + (share * step) * slope[0]
            slopes.append(field(at + node * step, here, weight > 0))
        for weight, (dz, *integrands) in zip(method.weights, slopes, strict=True):
            if weight:
                z = z + (weight * step) * dz
                integrals = tuple(total + (weight * step) * part for total, part in zip(integrals, integrands, strict=False))
    return z, *integrals
