"""The density of a flow at points; of a conditional one, the mixture over the contexts of the rows that it is shown beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core import Flow
from ..evaluation import entering

EVALUATIONS = 2**20  # densities in a figure, which take a spline flow ten seconds
NOISY = 8  # passes averaged where the likelihood is not exact
POINTS_AT_ONCE = 2**14  # rows


@dataclass(frozen=True)
class Contexts:
    """Contexts ``(K, ...)`` with weights ``(K,)`` that stand for those of all rows; ``words`` say of which."""

    values: Tensor
    weights: Tensor
    words: str


def contexts_of(flow: Flow, context: Tensor, points: int) -> Contexts:
    r"""The rows' own contexts, for the mixture :math:`p(x) = \sum_k w_k p(x | c_k)` at so many points, as many as is affordable.

    All of them, each distinct one once and weighted by how often it occurs, if that takes no more than ``2**20`` densities; else rows
    evenly spaced in the order of their contexts, of equal weight.
    """
    most = max(1, EVALUATIONS // (points * (1 if flow.kind == "exact" else NOISY)))
    values, counts = context.unique(dim=0, return_counts=True)  # sorted
    if len(values) <= most:
        return Contexts(values, counts.double() / len(context), f"the contexts of all {len(context):,} rows")
    order = values.repeat_interleave(counts, 0)
    middles = ((torch.arange(most, dtype=torch.float64) + 0.5) * len(order) / most).long()
    words = f"the contexts of {most:,} of the {len(order):,} rows, evenly spaced in their order"
    return Contexts(order[middles], torch.full((most,), 1 / most, dtype=torch.float64), words)


@torch.no_grad()
def density(flow: Flow, points: np.ndarray, contexts: Contexts | None = None) -> np.ndarray:
    """``exp(log_prob)`` at points ``(n, D)``, of a conditional flow that of the mixture; returns ``(n,)``."""
    x = torch.from_numpy(np.ascontiguousarray(points))
    total = torch.zeros(len(x), dtype=torch.float64)
    draws = 1 if flow.kind == "exact" else NOISY
    some = max(1, POINTS_AT_ONCE // len(x))  # contexts at once
    for part in [None] if contexts is None else torch.arange(len(contexts.weights)).split(some):
        for start in range(0, len(x), POINTS_AT_ONCE):
            rows, weight = x[start : start + POINTS_AT_ONCE], torch.ones(1, dtype=torch.float64)
            here, given = len(rows), None
            if part is not None and contexts is not None:
                weight = contexts.weights[part]
                given = contexts.values[part].repeat_interleave(here, 0)
                rows = rows.repeat(len(part), *[1] * (rows.dim() - 1))
            heights = flow.log_prob(*entering(flow, rows, given), samples=draws).double().exp().cpu().nan_to_num(0, 0, 0)
            total[start : start + here] += weight @ heights.reshape(-1, here)
    return total.numpy()
