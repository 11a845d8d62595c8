"""The preprocessing of columns as layers of the flow, and the statistics that those layers hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Chain, Transform
from ..transforms import Cast, Columns, Dequantize, Elementwise, Standardize
from ..univariate import Log, Logit
from .column import Column
from .errors import DataError

POINTS = 2000  # of the midpoint rule within one level
LEAST = 1e-150  # a deviation whose square has all its digits


def measure(column: Column, x: np.ndarray, where: str) -> Column:
    """The column with the statistics of its train split ``(N,)``, taken in float64 after its transformation.

    Dequantized integers have mean + 1/2 and variance + 1/12, the exact moments of x + u; levels the moments of ``logit((x + u) / levels)``,
    by quadrature over u. A column that never changes in the train split is given the deviation 1.

    Raises:
        DataError: the numbers of a column named ``where`` are so large or so small that their squares leave float64.
    """
    mean, std, distinct = 0.0, 1.0, len(np.unique(x))
    with np.errstate(over="ignore", under="ignore"):
        scale = float(x.std()) if distinct > 1 else 0.0
        if column.levels is not None:
            mean, std = _level_moments(x, column.levels)
        elif column.discrete:
            mean, std = float(x.mean()) + 0.5, math.sqrt(float(x.var()) + 1 / 12)
        elif column.kind != "text":
            z = x
            if column.kind == "positive":
                z = np.log(x)
            elif column.kind == "interval":
                assert column.low is not None and column.high is not None
                z = np.log((x - column.low) / (column.high - x))
            mean, std = float(z.mean()), float(z.std())
    if distinct == 1 and not column.discrete:
        std = 1.0
    if not (math.isfinite(mean) and LEAST < std < math.inf and math.isfinite(scale)):
        raise DataError(
            f"{where}: the numbers of column {column.name!r}, from {x.min():g} to {x.max():g}, are too large or too close together for "
            "their deviation to be taken; drop the extreme rows, or rescale the column to numbers near 1"
        )
    return replace(column, mean=mean, std=std, scale=scale, minimum=float(x.min()), maximum=float(x.max()), distinct=distinct)


def layers(columns: Sequence[Column]) -> list[Transform]:
    """Fresh layers from raw float64 rows to standardized numbers in the nets' dtype.

    Integers and times: dequantized. Levels: dequantized, and a logit of [0, levels] (closed support). Positive: logarithm. Interval: a
    logit of (low, high). Then all are standardized by the train split, and cast.
    """
    parts: list[tuple[list[int], Transform]] = []
    for rule in (_levels, _integers, _positive, _interval):
        parts += rule(columns)
    standardize = Standardize([column.mean for column in columns], [column.std for column in columns])
    return [*([Columns(*parts)] if parts else []), standardize, Cast()]


class Embed(nn.Module):
    """Raw context columns ``(N, K)`` as the layers see them ``(N, width)``: text one-hot, numbers standardized, side by side.

    The output has the dtype of the nets. A code outside the vocabulary gives zeros.

    Example::

        >>> embed = Embed([Column("origin", "text", vocabulary=("EWR", "JFK", "LGA")), Column("hour", mean=12.0, std=4.0)])
        >>> embed(torch.tensor([[2.0, 12.0]])).tolist()
        [[0.0, 0.0, 1.0, 0.0]]
    """

    like: Tensor

    def __init__(self, context: Sequence[Column]):
        super().__init__()
        self.words = tuple(len(column.vocabulary) if column.vocabulary else 0 for column in context)
        self.standardize = Standardize([column.mean for column in context], [column.std for column in context])
        self.register_buffer("like", torch.empty(0), persistent=False)  # follows .to(dtype) as the nets' parameters do

    @property
    def width(self) -> int:
        """The number of features that come out."""
        return sum(words or 1 for words in self.words)

    def forward(self, context: Tensor) -> Tensor:
        z, _ = self.standardize(context)
        parts = []
        for words, column in zip(self.words, z.split(1, 1), strict=True):
            if words:
                column = (column == torch.arange(words, device=z.device)).to(self.like.dtype)
            parts.append(column.to(self.like.dtype))
        return torch.cat(parts, 1)


Parts = list[tuple[list[int], Transform]]


def _where(columns: Sequence[Column], test: Callable[[Column], bool]) -> list[int]:
    return [i for i, column in enumerate(columns) if test(column)]


def _integers(columns: Sequence[Column]) -> Parts:
    chosen = _where(columns, lambda column: column.discrete and column.levels is None)
    return [(chosen, Dequantize())] if chosen else []


def _levels(columns: Sequence[Column]) -> Parts:
    """One part for each number of levels."""
    parts: Parts = []
    for levels in sorted({column.levels for column in columns if column.levels is not None}):
        chosen = [i for i, column in enumerate(columns) if column.levels == levels]
        parts.append((chosen, Chain(Dequantize(levels), Standardize(0.0, float(levels)), Elementwise(Logit(), (len(chosen),)))))
    return parts


def _positive(columns: Sequence[Column]) -> Parts:
    chosen = _where(columns, lambda column: column.kind == "positive")
    return [(chosen, Elementwise(Log(), (len(chosen),)))] if chosen else []


def _interval(columns: Sequence[Column]) -> Parts:
    chosen = _where(columns, lambda column: column.kind == "interval")
    if not chosen:
        return []
    low = [columns[i].low or 0.0 for i in chosen]
    width = [(columns[i].high or 0.0) - (columns[i].low or 0.0) for i in chosen]
    return [(chosen, Chain(Standardize(low, width), Elementwise(Logit(), (len(chosen),))))]


def _level_moments(x: np.ndarray, levels: int) -> tuple[float, float]:
    """Mean and standard deviation of ``logit((x + u) / levels)``, u uniform in (0, 1)."""
    share = np.bincount(x.astype(np.int64), minlength=levels) / len(x)
    used = np.flatnonzero(share)
    t = (used[:, None] + (np.arange(POINTS) + 0.5) / POINTS) / levels
    z = np.log(t) - np.log1p(-t)
    mean = float(share[used] @ z.mean(1))
    return mean, math.sqrt(float(share[used] @ ((z - mean) ** 2).mean(1)))
