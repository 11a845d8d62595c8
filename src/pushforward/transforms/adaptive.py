"""Steps as long as an error allows, for each row its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .integrate import TABLEAUS, moved

ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # fifth order less the embedded fourth
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0


@torch.no_grad()
def adapted(
    velocity: Callable[[Tensor, Tensor], Tensor], z: Tensor, *, start: float, end: float | Tensor, tolerance: float
) -> list[Tensor]:
    r"""Times ``(B,)`` between which steps of "dopri5" err by ``tolerance (1 + |z|)`` at most, in root mean square over a row.

    Each row has times of its own, so that they depend on that row alone. Where a row's step is refused, or where it is done before
    others, its time comes again: a step of no length. A row for which no step is short enough ends at NaN.

    Cost: 6 evaluations of the velocity for each attempt, as many attempts as the hardest row takes. The loop goes by the data: it is no
    single graph for a compiler, and torch.func can't map over it.

    Reference: A family of embedded Runge-Kutta formulae, Dormand, Prince, 1980; control of steps: Solving Ordinary Differential Equations
    I, Hairer, Norsett, Wanner, 1993, section II.4.

    Example::

        >>> times = adapted(lambda t, z: -z, torch.tensor([[1.0], [100.0]]), start=0.0, end=1.0, tolerance=1e-5)
        >>> times[-1]
        tensor([1., 1.])
    """
    method = TABLEAUS["dopri5"]
    t, end = z.new_full(z.shape[:1], start), torch.as_tensor(end, dtype=z.dtype, device=z.device).expand(z.shape[0])
    shortest = torch.finfo(z.dtype).eps * (end - t).abs()
    step, slope, times = (end - t) * tolerance**0.2, velocity(t, z), [t]
    while bool((t.isfinite() & (t != end)).any()):
        left = end - t
        step = torch.where(step.abs() < left.abs(), step, left)
        slopes = [slope]
        for node, stage in zip(method.nodes[1:], method.stages[1:], strict=True):
            slopes.append(velocity(t + node * step, moved(z, step, stage, slopes)))
        there = moved(z, step, method.weights, slopes)
        slopes.append(velocity(t + step, there))
        error = moved(torch.zeros_like(z), step, ERROR, slopes) / (tolerance * (1 + torch.maximum(z.abs(), there.abs())))
        size = error.flatten(1).square().mean(1).sqrt()
        good = size <= 1
        t = torch.where(good, torch.where(step == left, end, t + step), t).masked_fill(~good & (step.abs() <= shortest), torch.nan)
        row = good.reshape(-1, *(1 for _ in z.shape[1:]))
        z, slope = torch.where(row, there, z), torch.where(row, slopes[-1], slope)
        step = step * (SAFETY * size**-0.2).clamp(SHRINK, GROW).nan_to_num(SHRINK)
        times.append(t)
    return times
