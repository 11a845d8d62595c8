"""One column's values cut into cells of equal shares, and those into parts: what :class:`Quantize` takes from data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LARGEST_FLOAT = float(np.finfo(np.float64).max)
VALUES_OF_A_PART = 8  # values that a part of whole numbers holds, at least, unless it is a single frequent one
NUMBERS_OF_A_PART = 256  # the same of reals, whose widths are estimated too: k numbers in a part cost 1 / (2 k) nats
FEWEST_CELLS = 8  # cells of an ordered column that has so many values, whatever the number of rows
OFTEN_ENOUGH = 5  # times that a real number occurs from which it is no coincidence
OFTEN_SHARE = 1e-3  # and the share of the rows


@dataclass(frozen=True)
class Support:
    """What the numbers of a column may be.

    Attributes:
        ordered: whether near numbers mean near things; codes of categories are not ordered.
        whole: whole numbers only, which have probabilities; else reals, with a density beside the atoms that data show.
        low, high: the least and the greatest; None where it is open.
        closed: whether the ends of reals are values themselves.
        missing: whether NaN occurs.
        ignorable: whether NaN stands for a value that is there and not known, and is no outcome by itself.
    """

    ordered: bool = True
    whole: bool = False
    low: float | None = None
    high: float | None = None
    closed: bool = False
    missing: bool = False
    ignorable: bool = False


class Partition(NamedTuple):
    """The L parts of a column, and its M favourite values.

    Attributes:
        edges: the points between parts, ``(L - 1,)``.
        codes: cell, and place within it, ``(L, 2)``.
        parts: lower end, upper end, scale of the exponential that falls from the lower end (negative: from the upper; 0: flat), share of
            what is no favourite, ``(L, 4)``.
        values: favourite values, rising, ``(M,)``.
        first: the number of the first favourite of each part, ``(L + 1,)``.
        totals: counts of the favourites before each, ``(M + 1,)``.
    """

    edges: np.ndarray
    codes: np.ndarray
    parts: np.ndarray
    values: np.ndarray
    first: np.ndarray
    totals: np.ndarray


def partition(x: np.ndarray, support: Support, cells: int, fine: int) -> Partition:
    """Cells and parts of a column's values ``(N,)``, none of them missing; a column without values gets one part."""
    if not len(x):
        x = np.array([0.0 if support.low is None else support.low])
    values, counts = np.unique(x, return_counts=True)
    atoms = np.ones(len(values), bool) if support.whole else counts >= max(OFTEN_ENOUGH, OFTEN_SHARE * len(x))
    most = min(cells, max(FEWEST_CELLS, int(len(x) ** 0.5))) if support.ordered else cells
    starts, codes = [], []
    for cell, (i, j) in enumerate(_groups(counts, most)):
        least = VALUES_OF_A_PART if support.whole else NUMBERS_OF_A_PART
        room = min(fine, max(1, int(counts[i:j].sum()) // least)) if support.ordered else fine
        for part, (k, _) in enumerate(_groups(counts[i:j], room)):
            starts.append(i + k)
            codes.append((cell, part))
    begins = np.array([*starts, len(values)])
    edges = _edges(values, begins, support.whole)
    parts = np.stack([_part(values, counts, atoms, begins, edges, k, support) for k in range(len(starts))])
    favourite = np.concatenate([[0], np.cumsum(atoms)])
    totals = np.concatenate([[0], np.cumsum(counts[atoms])])
    return Partition(edges, np.array(codes), parts, values[atoms], favourite[begins], totals)


def _groups(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Neighbouring values in at most so many groups of about equal counts, a value that fills one by itself alone."""
    if len(counts) <= most:
        return [(i, i + 1) for i in range(len(counts))]
    groups: list[tuple[int, int]] = []
    totals, i = np.cumsum(counts), 0
    while i < len(counts):
        before = totals[i - 1] if i else 0
        target = (totals[-1] - before) / max(1, most - len(groups))
        j = min(int(np.searchsorted(totals, before + target)), len(counts) - 1)
        if j > i and (counts[j] >= target or totals[j] - before - target > before + target - totals[j - 1]):
            j -= 1
        j = len(counts) - 1 if len(groups) == most - 1 else j
        groups.append((i, j + 1))
        i = j + 1
    return groups


def _edges(values: np.ndarray, begins: np.ndarray, whole: bool) -> np.ndarray:
    """The points between parts: halves for whole numbers."""
    below, above = values[begins[1:-1] - 1], values[begins[1:-1]]
    middle = below + (above - below) / 2
    return np.floor(middle) + 0.5 if whole else middle


def _part(
    values: np.ndarray, counts: np.ndarray, atoms: np.ndarray, begins: np.ndarray, edges: np.ndarray, k: int, support: Support
) -> np.ndarray:
    """Lower end, upper end, scale and share of the background of part k."""
    inside = slice(begins[k], begins[k + 1])
    v, n = values[inside], counts[inside]
    half = 0.5 if support.whole else 0.0
    last = len(begins) - 2
    low = edges[k - 1] if k else v[0] - half if support.low is None else support.low - half
    high = edges[k] if k < last else v[-1] + half if support.high is None else support.high + half
    total, scale = n.sum(), 0.0
    if support.whole:
        possible = high - low if (k or support.low is not None) and (k < last or support.high is not None) else np.inf
        share = 0.0 if possible <= len(v) else ((n == 1).sum() + 0.5) / (total + 1)
    else:
        share = (n[~atoms[inside]].sum() + 0.5) / (total + 1) if atoms[inside].any() else 1.0
    width = max(high - low, np.spacing(max(abs(low), abs(high))) * 4, 1e-300)
    if k == last and support.high is None and support.ordered:
        scale = max(((v - low) * n).sum() / total, width / 8)
    elif k == 0 and support.low is None and support.ordered:
        scale = -max(((high - v) * n).sum() / total, width / 8)
    return np.array([low, max(high, low + width), scale, share])
