"""Does a density integrate to one? Quadrature in one and two dimensions."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core import Flow
from ..evaluation import entering, settled

DRAWS = 20_000
MARGIN = 1.0  # the box reaches beyond the samples by this share of their range


@dataclass(frozen=True)
class Normalization:
    """The mass of ``exp(log_prob)`` in a box, beside the share of the model's own samples that fall into it.

    Attributes:
        mass: by quadrature; 1 for a density, if the box holds it all.
        inside: the share of samples in the box.
        error: how far the quadrature may be off, from the grid of twice the step.
    """

    mass: float
    inside: float
    error: float

    @property
    def healthy(self) -> bool:
        """Mass and samples agree within 1 % and the quadrature's error."""
        return abs(self.mass - self.inside) <= 0.01 + 2 * self.error

    def to_json(self) -> dict[str, Any]:
        return {"mass": self.mass, "inside": self.inside, "error": self.error, "healthy": self.healthy}


@torch.no_grad()
def check_normalized(flow: Flow, context: Tensor | None = None, *, points: int | None = None, seed: int = 0) -> Normalization:
    r"""``\int exp(log p(x)) dx`` by the trapezoidal rule, for an exact flow of one or two dimensions, in float64.

    The box is where the flow's samples fall (all but one in a thousand on each side) and as much again around it. A log-det of
    the wrong sign, a map that does not cover the line or a base of the wrong mass show here without any reference value.
    Cost: ``points ** D`` evaluations.

    Arguments:
        flow: the model.
        context: one raw context, ``(*context_shape,)``.
        points: on each axis; by default 20,001 in one dimension and 401 in two.
        seed: of the samples.

    Raises:
        ValueError: another dimension, or a likelihood that is not exact.

    Example::

        >>> check_normalized(Flow(Normal((2,)))).mass
        1.0
    """
    if flow.shape not in ((1,), (2,)) or flow.kind != "exact":
        raise ValueError(f"check_normalized: expected an exact flow of shape (1,) or (2,), got {flow.kind} and {tuple(flow.shape)}")
    (dim,) = flow.shape
    points = points or (20_001 if dim == 1 else 401)
    points += 1 - points % 2  # odd, so that every other point is a grid too
    model = copy.deepcopy(flow).double()
    with settled(model, seed):
        raw = None if context is None else context.double().expand(1, *context.shape)
        samples = (model.sample((DRAWS,)) if model.context_shape is None else model.sample((DRAWS,), raw)).reshape(-1, dim)
        samples = samples.double()
        low, high = samples.quantile(0.001, 0), samples.quantile(0.999, 0)
        low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
        axes = [torch.linspace(a, b, points, dtype=torch.float64) for a, b in zip(low.tolist(), high.tolist())]
        grid = torch.cartesian_prod(*axes).reshape(-1, dim)
        values = []
        for part in grid.split(2**15):
            x, c = entering(model, part, None if raw is None else raw.expand(len(part), *raw.shape[1:]))
            values.append(model.log_prob(x, c).double().cpu().exp())
    density = torch.cat(values).reshape([points] * dim)
    cell = math.prod(((high - low) / (points - 1)).tolist())
    mass = _trapezoid(density) * cell
    coarse = _trapezoid(density[(slice(None, None, 2),) * dim]) * cell * 2**dim
    inside = ((samples >= low) & (samples <= high)).all(1).double().mean().item()
    return Normalization(mass, inside, abs(mass - coarse))


def _trapezoid(values: Tensor) -> float:
    for _ in range(values.dim()):
        values = values.sum(0) - 0.5 * (values[0] + values[-1])
    return values.item()
