"""Columns on which a density may be meaningless, in the words that fit has for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..data import Column
from ..data.notes import WARNING, warn


def doubts(x: np.ndarray, columns: Sequence[Column]) -> list[str]:
    """What is doubtful about rows ``(N, D)``, in sentences: discrete columns taken for real, equal ones, ones that others determine."""
    counted = [replace(column, distinct=len(np.unique(values))) for column, values in zip(columns, x.T, strict=True)]
    return warnings_among(warn(counted, x))


def warnings_among(notes: Iterable[str]) -> list[str]:
    """The doubtful ones of what was said of data when they were read."""
    return [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]
