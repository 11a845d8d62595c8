"""Averages over a distribution: by quadrature where it is one number with known quantiles, else over draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .condition import Conditioned

AVERAGED = 4096  # for each context
STEP = 1 / 128  # of the trapezoidal rule, in standard deviations of a normal, over +-8
ROWS = 2**16  # through the model at a time


class Estimate(Tensor):
    """A tensor that says how far off it may be, ``stderr`` of its shape. What is computed from it is a plain tensor.

    ``stderr`` is the standard error of an average over draws, or the numerical error of a quadrature, or 0 for a finite sum.
    """

    stderr: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.as_subclass(Tensor)!r} ± {self.stderr!r}"


class Points(NamedTuple):
    """Where to average: x ``(N, *batch, *event)`` and weights ``(N, 1 or *batch)``, none for draws, which weigh the same."""

    x: Tensor
    weight: Tensor | None
    finite: bool = False

    def average(self, values: Tensor) -> Estimate:
        """The mean of values ``(N, *batch, ...)`` at the points, and its error: ``(*batch, ...)``."""
        if self.weight is None:
            return _estimate(values.mean(0), values.std(0) / math.sqrt(len(values)))
        terms = self.weight.reshape(self.weight.shape + (1,) * (values.dim() - self.weight.dim())) * values
        total = terms.sum(0)
        if self.finite:
            return _estimate(total, torch.zeros_like(total))
        beyond = (terms[0].abs() + terms[-1].abs()) / STEP
        return _estimate(total, (total - 2 * terms[::2].sum(0)).abs() + beyond)


@torch.no_grad()
def points(given: Conditioned) -> Points:
    """Whole numbers with their probabilities, quantiles of one number with the rule's weights, or draws."""
    if math.prod(given.event_shape) == 1:
        support: Any = getattr(given.support, "base_constraint", given.support)
        if support.is_discrete and hasattr(support, "upper_bound"):
            levels = torch.arange(int(support.lower_bound), int(support.upper_bound) + 1, dtype=torch.get_default_dtype())
            x = levels.reshape(-1, *(1 for _ in given.batch_shape + given.event_shape)).expand(-1, *given.batch_shape, *given.event_shape)
            return Points(x, given.log_prob(x).exp(), finite=True)
        t = torch.arange(-8, 8 + STEP / 2, STEP, dtype=torch.float64)
        levels = torch.special.ndtr(t).reshape(-1, *(1 for _ in given.batch_shape)).expand(-1, *given.batch_shape)
        try:
            x = torch.cat([given.icdf(part) for part in levels.split(_at_once(given))])
        except ValueError:  # no known quantiles
            pass
        else:
            return Points(x, STEP / math.sqrt(2 * math.pi) * (-0.5 * t.square()).exp().to(x.device))
    return Points(given.sample(AVERAGED), None)


@torch.no_grad()
def log_densities(given: Conditioned, x: Tensor) -> Tensor:
    """Of points ``(N, *batch, *event)``, a part at a time: ``(N, *batch)``."""
    return torch.cat([given.log_prob(part) for part in x.split(_at_once(given))])


def _at_once(given: Conditioned) -> int:
    return max(1, ROWS // max(1, given.batch_shape.numel() * given.event_shape.numel()))


def _estimate(value: Tensor, stderr: Tensor) -> Estimate:
    estimate = value.as_subclass(Estimate)
    estimate.stderr = stderr
    return estimate
