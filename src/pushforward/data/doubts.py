"""Columns on which a density may be meaningless: said by notes, the doctor and the verdict, by the same thresholds in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from ..words import listing
from .column import Column

FEW = 0.05  # a real column with fewer distinct values than this share of the rows looks discrete
OFTEN = 0.05  # and so does one where a single value fills more than this share
FEWEST = 20  # but not below this many rows
SAME = 0.995  # correlation from which two columns nearly determine each other
SAMPLED = 50_000  # rows that correlations are taken over, or fewer
NUMBERS, LEAST_ROWS = 2**22, 1_000  # numbers of these rows, but so many rows
NAMED_PAIRS = 8  # that are named
DETERMINED = 1e-4  # variance of a column given the others, as a share of its own

WARNING = "Warning: "  # what a doubtful note begins with
MEANINGLESS = (
    "a continuous density there may be meaningless (it can grow without bound); "
    "declare such a column integer or category if it counts or names something, give it as context, or leave it out (fit --exclude)"
)


def warn(columns: Sequence[Column], x: np.ndarray) -> list[str]:
    """Columns of the train split ``(N, D)`` that look discrete though they are real, duplicated or nearly determined by another.

    Gaps are NaN; what is said of several columns is said of the rows that have them all.
    """
    rows, notes = len(x), []
    few, lumps = [], []
    for i, column in enumerate(columns):
        if column.discrete:
            continue
        end = column.kind.support()
        given = x[:, i]
        atoms = end.closed & ((given == end.low) | (given == end.high))
        values, counts = np.unique(given[~(np.isnan(given) | atoms)], return_counts=True)
        if not len(values):
            continue
        if len(values) < FEW * rows:
            few.append((len(values), f"{column.name} has {len(values):,} distinct values"))
        elif counts.max() > max(FEWEST, OFTEN * rows):
            lumps.append((-int(counts.max()), f"{column.name} is {values[counts.argmax()]:g} in {counts.max() / rows:.0%}"))
    if few:
        notes.append(f"{WARNING}in {rows:,} rows {listing((text for _, text in sorted(few)), 5)}: {MEANINGLESS}.")
    if lumps:
        notes.append(f"{WARNING}one value in many rows: {listing((text for _, text in sorted(lumps)), 5)}: {MEANINGLESS}.")
    return notes + _alike(columns, x[: min(SAMPLED, max(LEAST_ROWS, NUMBERS // max(1, len(columns))))])


def doubts(x: np.ndarray, columns: Sequence[Column]) -> list[str]:
    """What is doubtful about rows ``(N, D)``, in sentences: discrete columns taken for real, equal ones, ones that others determine."""
    return warnings_among(warn(columns, x))


def warnings_among(notes: Sequence[str]) -> list[str]:
    """The doubtful ones of what was said of data when they were read."""
    return [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]


def without_repeated(notes: Sequence[str]) -> list[str]:
    """The notes but for those on repeated values of real columns, for a model that gives them probabilities."""
    return [note for note in notes if MEANINGLESS not in note]


def repeated(notes: Sequence[str]) -> str:
    """Of notes, what says that values of real columns repeat, without the advice; empty if nothing does."""
    found = [note.removeprefix(WARNING).partition(f": {MEANINGLESS}")[0] for note in notes if MEANINGLESS in note]
    return "; ".join(found)


def _alike(columns: Sequence[Column], x: np.ndarray) -> list[str]:
    x = x[~np.isnan(x).any(1)]
    varying = [i for i in range(len(columns)) if len(x) > 1 and (x[:, i] != x[0, i]).any()]
    equal: dict[bytes, list[int]] = {}  # columns by what they hold
    for i in varying:
        equal.setdefault(blake2b((x[:, i] + 0.0).tobytes()).digest(), []).append(i)  # -0.0 is 0.0
    notes, groups = list[str](), [group for group in equal.values() if len(group) > 1]
    for whole, why in ((False, "the density of them together is a spike"), (True, "one says all of the others")):
        named = [[columns[i].name for i in group] for group in groups if all(columns[i].discrete for i in group) == whole]
        told = [" and ".join(names) if len(names) == 2 else f"{names[0]} and {len(names) - 1:,} others" for names in named]
        if told:
            notes.append(f"{WARNING}equal columns: {listing(told)}: {why}; leave one out (fit --exclude).")
    first = [group[0] for group in equal.values()]
    if len(first) < 2:
        return notes
    ranks = x[:, first].argsort(0, kind="stable").argsort(0).astype(np.float64)
    correlation = np.triu(np.maximum(_correlation(x[:, first]), _correlation(ranks)), 1)
    discrete = np.array([columns[i].discrete for i in first])
    close = np.argwhere((correlation > SAME) & ~(discrete[:, None] & discrete))
    if len(close):
        shown = [
            f"{columns[first[a]].name} and {columns[first[b]].name} (correlation {correlation[a, b]:.4f})" for a, b in close[:NAMED_PAIRS]
        ]
        more = f" and {len(close) - NAMED_PAIRS:,} more" if len(close) > NAMED_PAIRS else ""
        notes.append(f"{WARNING}columns that nearly determine each other: {listing(shown)}{more}: expect a high and fragile likelihood.")
    paired = {i for group in groups for i in group} | {first[i] for i in np.unique(np.argwhere(correlation > SAME))}
    combined = [columns[i].name for i in _combined(x, [i for i in varying if i not in paired]) if not columns[i].discrete]
    if combined:
        notes.append(f"{WARNING}columns that are nearly sums of others: {listing(combined)}: expect a high and fragile likelihood.")
    return notes


def _correlation(x: np.ndarray) -> np.ndarray:
    """Absolute correlations of columns ``(N, D)``, 0 with one that does not vary."""
    z = x - x.mean(0)
    norm = np.sqrt((z**2).sum(0))
    z = z / np.where(norm > 0, norm, 1)
    return np.abs(z.T @ z)


def _combined(x: np.ndarray, which: list[int]) -> list[int]:
    """The columns that the others determine linearly; ``1 / diag(R^-1)`` is the variance that they leave of each, R the correlations."""
    if len(which) < 3 or len(x) <= 2 * len(which):
        return []
    z = (x[:, which] - x[:, which].mean(0)) / np.maximum(x[:, which].std(0), 1e-300)
    left = 1 / np.diag(np.linalg.inv(z.T @ z / len(z) + 1e-12 * np.eye(len(which))))
    return [i for i, share in zip(which, left) if share < DETERMINED]
