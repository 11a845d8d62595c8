"""Columns on which a density may be meaningless: discrete ones taken for real, equal ones, ones that others determine."""

from __future__ import annotations

import numpy as np

REPEATED = 0.5  # share of rows that repeat an earlier value, from which a real column looks discrete
SPIKE = 0.05  # share of rows at one value
CLOSE = 0.995  # rank correlation from which two columns nearly determine each other
DETERMINED = 1e-4  # variance of a column given the others, as a share of its own


def doubts(x: np.ndarray, names: list[str], discrete: list[bool]) -> list[str]:
    """What is doubtful about the columns of ``x`` ``(N, D)``, in sentences; ``discrete`` columns are dequantized and may repeat."""
    sentences = []
    for name, column, whole in zip(names, x.T, discrete):
        if whole:
            continue
        values, counts = np.unique(column, return_counts=True)
        top = counts.max() / len(column)
        if 1 - len(values) / len(column) > REPEATED:
            sentences.append(
                f"{name} looks discrete: {len(values):,} distinct values in {len(column):,} rows; a continuous density can grow without "
                "bound on them: declare it integer if it counts something, use it as context, or leave it out (fit --exclude)"
            )
        elif top > SPIKE:
            sentences.append(
                f"{name} is {values[counts.argmax()]:g} in {top:.0%} of the rows: a continuous density can grow without bound there; "
                "model that value apart, or leave the column out (fit --exclude)"
            )
    return sentences + _alike(x[:, [not whole for whole in discrete]], [name for name, whole in zip(names, discrete) if not whole])


def _alike(x: np.ndarray, names: list[str]) -> list[str]:
    varying = [i for i in range(x.shape[1]) if x[:, i].std() > 0]
    if len(varying) < 2:
        return []
    ranks = np.abs(np.corrcoef(x[:, varying].argsort(0, kind="stable").argsort(0), rowvar=False))
    sentences, paired = [], set()
    for a, b in zip(*np.nonzero(np.triu(ranks, 1) > CLOSE)):
        first, second = varying[a], varying[b]
        paired |= {first, second}
        same = np.array_equal(x[:, first], x[:, second])
        how = "are equal" if same else f"nearly determine each other (rank correlation {ranks[a, b]:.4f})"
        sentences.append(
            f"{names[first]} and {names[second]} {how}: the likelihood of both together is high and fragile; "
            "consider leaving one out (fit --exclude)"
        )
    rest = [i for i in varying if i not in paired]
    if len(rest) > 2 and len(x) > 2 * len(rest):
        z = (x[:, rest] - x[:, rest].mean(0)) / x[:, rest].std(0)
        left = 1 / np.diag(np.linalg.inv(z.T @ z / len(z) + 1e-12 * np.eye(len(rest))))  # Var(column | all others)
        combined = [names[i] for i, share in zip(rest, left) if share < DETERMINED]
        if combined:
            sentences.append(
                f"{', '.join(combined)} are nearly linear combinations of each other: the likelihood is high and fragile; "
                "leave one out (fit --exclude)"
            )
    return sentences
