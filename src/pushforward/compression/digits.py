"""Whole numbers by digits, whose probabilities are put on a grid of 2^-24 before the coder sees them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .coder import GRID, Coder
from .damage import Damage

BASE = 16  # values of a digit: a number of 256 levels takes 2 x 17 values of the distribution function instead of 257
CHUNK_BITS = 16  # bits of a part of a uniform number

Below = Callable[[np.ndarray], np.ndarray]  # whole numbers k (n, Q) to P(X < k), (n, Q)


def surplus_of(below: np.ndarray) -> np.ndarray:
    """Probabilities on the grid: the surplus of each of S symbols, whole numbers ``(n, S)``, as :meth:`Coder.choice` takes them.

    ``c_k = round((2^24 - S) F_k)`` of the distribution function F, whose differences are the surpluses; each symbol has one more, so
    that none is impossible. Parameters that differ in their last bits give equal numbers but for one in some 10^8. A distribution without
    any mass counts as uniform.

    Arguments:
        below: the distribution function at the S + 1 ends of the symbols, up to a shift and a factor, ``(n, S + 1)``.
    """
    symbols = below.shape[1] - 1
    rising = np.maximum.accumulate(np.nan_to_num(below.astype(np.float64)), 1)
    start, total = rising[:, :1], rising[:, -1:] - rising[:, :1]
    even = np.linspace(0, 1, symbols + 1)
    share = np.where(total > 0, (rising - start) / np.where(total > 0, total, 1), even)
    return np.diff(np.rint(share * (GRID - symbols)).astype(np.int64), axis=1)


def by_digits(coder: Coder, levels: int, below: Below, x: np.ndarray | None, rows: int) -> np.ndarray:
    """Whole numbers ``0..levels-1``, int64 ``(rows,)``, from the first digit to the last, to the base 16.

    Cost: 17 values of the distribution function for each digit.

    Arguments:
        coder: writes or reads.
        levels: how many there are.
        below: their distribution function, ``P(X < k)``, 0 at 0 and 1 from ``levels`` on.
        x: the numbers, if they are known.
        rows: how many numbers.

    Raises:
        Damage: a number beyond the levels was read.
    """
    found = np.zeros(rows, np.int64)
    step = 1
    while step * BASE < levels:
        step *= BASE
    while step:
        symbols = min(BASE, -(-levels // step))
        ends = np.minimum(found[:, None] + step * np.arange(symbols + 1), levels)
        digit = coder.choice(surplus_of(below(ends)), None if x is None else (x - found) // step)
        found = found + step * digit.astype(np.int64)
        step //= BASE
    if (found >= levels).any():
        raise Damage(f"it holds a number beyond its {levels:,} levels")
    return found


def by_shares(coder: Coder, log_shares: np.ndarray, x: np.ndarray | None) -> np.ndarray:
    """One of S values for each row, int64 ``(n,)``, by log probabilities ``(n, S)``, up to a factor."""
    shares = np.exp(log_shares - log_shares.max(1, keepdims=True, initial=-np.finfo(float).max))
    below = np.concatenate([np.zeros((len(shares), 1)), shares.cumsum(1)], 1)
    return coder.choice(surplus_of(below), x).astype(np.int64)


def by_chance(coder: Coder, last: np.ndarray, x: np.ndarray | None) -> np.ndarray:
    """A number from 0 to ``last`` for each row, uint64 ``(n,)``, all equally likely: up to 17 bits at first, then 16 at a time."""
    bits = np.minimum(np.frexp(last.astype(np.float64))[1], 64).astype(np.int64)
    bits -= (bits > 0) & (last >> np.maximum(bits - 1, 0).astype(np.uint64) == 0)  # what was rounded up to a power of two
    left = np.maximum(bits - CHUNK_BITS - 1, 0)
    found = np.zeros(len(last), np.uint64)
    here = np.flatnonzero(bits)
    sizes = (last[here] >> left[here].astype(np.uint64)).astype(np.int64) + 1
    while len(here):
        places = left[here].astype(np.uint64)
        known = None if x is None else ((x[here] - found[here]) >> places).astype(np.int64)
        found[here] += coder.uniform(sizes, known).astype(np.uint64) << places
        here = here[left[here] > 0]
        sizes = np.int64(1) << np.minimum(left[here], CHUNK_BITS)
        left[here] = np.maximum(left[here] - CHUNK_BITS, 0)
    return found
