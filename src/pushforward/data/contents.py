"""Rows known by what they hold, wherever they stand in a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .rows import Rows


def fingerprints(rows: Rows) -> np.ndarray:
    """A hash of each row's data and context, ``(N,)`` uint64: equal rows have equal ones, others but for one pair in 10^19.

    Cost: a few nanoseconds for each number. Not meant against somebody who wants two rows to be taken for the same.

    Example::

        >>> found = fingerprints(Rows(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])))
        >>> bool(found[0] == found[2] != found[1])
        True
    """
    parts = [part.flatten(1).numpy() for part in (rows.x, rows.context) if part is not None]
    hashed = np.zeros(len(rows), np.uint64)
    for part in parts:
        numbers = np.ascontiguousarray(part + part.dtype.type(0))  # -0.0 is 0.0
        size = numbers.dtype.itemsize * numbers.shape[1]
        padded = np.zeros((len(rows), -(-size // 8) * 8), np.uint8)
        padded[:, :size] = numbers.view(np.uint8).reshape(len(rows), size)
        for word in padded.view(np.uint64).T:
            hashed = (hashed ^ word) * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64; the golden ratio's bits
            hashed ^= hashed >> np.uint64(29)
            hashed = hashed * np.uint64(0xBF58476D1CE4E5B9)
            hashed ^= hashed >> np.uint64(32)
    return hashed


def whereabouts(wanted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Where each of the wanted fingerprints is present, ``(len(wanted),)``, -1 where it is not; each place is given away once.

    Example::

        >>> whereabouts(np.array([5, 7, 5, 5]), np.array([7, 5, 5]))
        array([ 1,  0,  2, -1])
    """
    order = np.argsort(present, kind="stable")
    ranked = present[order]
    turn = np.empty(len(wanted), np.int64)  # how many equal ones were wanted before
    own = np.argsort(wanted, kind="stable")
    first = np.searchsorted(wanted[own], wanted[own], "left")
    turn[own] = np.arange(len(wanted)) - first
    at = np.searchsorted(ranked, wanted, "left") + turn
    found = at < np.searchsorted(ranked, wanted, "right")
    return np.where(found, order[np.minimum(at, len(order) - 1)] if len(order) else -1, -1)


def repeats(train: Rows, held_out: Mapping[str, Rows], least: float = 0.01) -> list[str]:
    """What there is to say of held-out rows that are training rows as well, if they are more than a share of ``least``."""
    seen = fingerprints(train)
    counts = {name: int(np.isin(fingerprints(rows), seen).sum()) for name, rows in held_out.items()}
    found = [f"{count:,} of {len(held_out[name]):,} {name} rows" for name, count in counts.items() if count > least * len(held_out[name])]
    if not found:
        return []
    return [f"Warning: {' and '.join(found)} are training rows as well: figures on them say nothing of new rows; drop repeated rows first."]
