"""The standard normal on the grid, by tables that are made once."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from .bins import log_masses, rising
from .coder import Coder
from .damage import Damage
from .digits import BASE, surplus_of
from .grid import POINT

NORMAL_DIGITS = 8  # binary digits behind the point of bins within which all numbers are alike
WHOLE_DIGITS = 8  # before it, with the sign


def by_standard(coder: Coder, shape: tuple[int, ...], k: np.ndarray | None) -> np.ndarray:
    """Standard normals on the grid: which bin of 2^-8, to the base 16, and which number in it.

    Arguments:
        coder: writes or reads.
        shape: of the numbers.
        k: whole numbers of 2^-14, if they are known.

    Raises:
        Damage: a number is beyond +-128.
    """
    count, inner, middle = math.prod(shape), POINT - NORMAL_DIGITS, 2 ** (NORMAL_DIGITS + WHOLE_DIGITS - 1)
    known = None if k is None else k.ravel()
    bins = None if known is None else (known >> inner) + middle
    if bins is not None and ((bins < 0) | (bins >= 2 * middle)).any():
        raise Damage("it holds a number that is too far from the others")
    found, tables = np.zeros(count, np.int64), _tables()
    for i, table in enumerate(tables):
        digit = None if bins is None else bins // BASE ** (len(tables) - 1 - i) % BASE
        found = BASE * found + coder.choice(table[found], digit)
    rest = coder.uniform(np.full(count, 1 << inner), None if known is None else known & ((1 << inner) - 1))
    return (((found - middle) << inner) + rest).reshape(shape)


@cache
def _tables() -> list[np.ndarray]:
    """Of each digit the surplus of its 16 values, given those before: ``(16^i, 16)``."""
    digits = (NORMAL_DIGITS + WHOLE_DIGITS) // 4
    edges = np.arange(BASE**digits + 1) * 2.0**-NORMAL_DIGITS - 2.0 ** (WHOLE_DIGITS - 1)
    edges[[0, -1]] = -np.inf, np.inf
    steps = [BASE ** (digits - 1 - i) for i in range(digits)]
    ends = [np.arange(0, BASE**digits, BASE * step)[:, None] + step * np.arange(BASE + 1) for step in steps]
    return [surplus_of(rising(log_masses(edges[of_digit]))) for of_digit in ends]
