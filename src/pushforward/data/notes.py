"""What was understood of a table, and what looks doubtful, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..words import listing
from .column import Column

FEW = 0.05  # a real column with fewer distinct values than this share of the rows looks discrete
OFTEN = 0.05  # and so does one where a single value fills more than this share
FEWEST = 20  # but not below this many rows
SAME = 0.995  # correlation from which two columns nearly determine each other
SAMPLED = 50_000  # rows that correlations are taken over
DETERMINED = 1e-4  # variance of a column given the others, as a share of its own
WORDS = 100  # a larger vocabulary makes a wide context

WARNING = "Warning: "  # what a doubtful note begins with
MEANINGLESS = (
    "a continuous density there may be meaningless (it can grow without bound); "
    "declare such a column integer if it counts something, give it as context, or leave it out (fit --exclude)"
)
UNITS = {86_400: "days", 3_600: "hours", 60: "minutes", 1: "seconds"}


def describe(columns: list[Column], context: list[Column]) -> list[str]:
    """One sentence for each kind of column, one for the context."""
    notes = []
    for title, test in _RULES:
        chosen = [column.name for column in columns if test(column)]
        if chosen:
            notes.append(f"{title}: {listing(chosen)}.")
    for column in columns:
        if column.kind == "time":
            notes.append(f"Time, counted in {UNITS[column.step]} since 1970: {column.name}.")
        if column.kind == "interval":
            notes.append(f"Between {column.low:g} and {column.high:g}, modelled through a logit: {column.name}.")
    if context:
        words = [f"{c.name} ({len(c.vocabulary)} values)" if c.vocabulary else c.name for c in context]
        notes.append(f"Context, what the model is conditioned on: {listing(words)}.")
    wide = [f"{c.name} ({len(c.vocabulary):,})" for c in context if c.vocabulary and len(c.vocabulary) > WORDS]
    if wide:
        notes.append(f"Warning: a context of many values is one-hot encoded and wide, most values will have few rows: {listing(wide)}.")
    return notes


def warn(columns: list[Column], x: np.ndarray) -> list[str]:
    """Columns of the train split ``(N, D)`` that look discrete, duplicated or nearly determined by another."""
    rows, notes = len(x), []
    fixed = [column.name for column in columns if column.discrete and column.distinct == 1]
    if fixed:
        notes.append(f"Always the same in training, and kept since they are whole numbers: {listing(fixed)}.")
    few = sorted((column for column in columns if _few(column, rows)), key=lambda column: column.distinct)
    if few:
        found = listing((f"{column.name} has {column.distinct:,} distinct values" for column in few), 5)
        notes.append(f"Warning: in {rows:,} rows {found}: {MEANINGLESS}.")
    lumps = []
    for i, column in enumerate(columns):
        if not column.discrete and column.distinct < rows and not _few(column, rows):
            values, counts = np.unique(x[:, i], return_counts=True)
            if counts.max() > max(FEWEST, OFTEN * rows):
                lumps.append((-int(counts.max()), f"{column.name} is {values[counts.argmax()]:g} in {counts.max() / rows:.0%}"))
    if lumps:
        notes.append(f"Warning: one value in many rows: {listing((text for _, text in sorted(lumps)), 5)}: {MEANINGLESS}.")
    return notes + _alike(columns, x[:SAMPLED])


def repeated(notes: Sequence[str]) -> str:
    """Of notes, what says that values of real columns repeat, without the advice; empty if nothing does."""
    found = [note.removeprefix(WARNING).partition(f": {MEANINGLESS}")[0] for note in notes if MEANINGLESS in note]
    return "; ".join(found)


def _few(column: Column, rows: int) -> bool:
    return not column.discrete and column.distinct < FEW * rows


def _alike(columns: list[Column], x: np.ndarray) -> list[str]:
    varying = [i for i, column in enumerate(columns) if column.distinct > 1]
    if len(varying) < 2:
        return []
    ranks = x[:, varying].argsort(0, kind="stable").argsort(0).astype(np.float64)
    correlation = np.triu(np.maximum(_correlation(x[:, varying]), _correlation(ranks)), 1)
    twins, close = [], []
    for a, b in np.argwhere(correlation > SAME):
        first, second = columns[varying[a]], columns[varying[b]]
        if np.array_equal(x[:, varying[a]], x[:, varying[b]]):
            twins.append(f"{first.name} and {second.name}")
        else:
            close.append(f"{first.name} and {second.name} (correlation {correlation[a, b]:.4f})")
    notes = []
    if twins:
        notes.append(f"Warning: equal columns: {listing(twins)}: the density of both together is a spike; leave one out (fit --exclude).")
    if close:
        notes.append(f"Warning: columns that nearly determine each other: {listing(close)}: expect a high and fragile likelihood.")
    paired = {int(i) for pair in np.argwhere(correlation > SAME) for i in pair}
    rest = [i for at, i in enumerate(varying) if at not in paired]
    combined = [columns[i].name for i in _combined(x, rest)]
    if combined:
        notes.append(f"Warning: columns that are nearly sums of others: {listing(combined)}: expect a high and fragile likelihood.")
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


_RULES = (
    ("Real numbers", lambda c: c.kind == "real"),
    ("Whole numbers, dequantized by uniform noise", lambda c: c.kind == "integer" and c.levels is None),
    ("Whole numbers of a closed set, dequantized within it", lambda c: c.levels is not None),
    ("Positive numbers, modelled in logarithms", lambda c: c.kind == "positive"),
)
