"""Numbers on a grid, and maps of them that forget nothing: what a map that shrinks would lose goes onto a stack of bits, and a map that
stretches takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .coder import Coder
from .damage import Damage
from .stack import Stack

POINT = 14  # binary digits behind the point of numbers on the grid
FACTOR_DIGITS = 8  # binary digits of the smaller part of a factor
LARGEST_FACTOR = 22.0  # its logarithm to the base 2
BEND_DIGITS = 8  # digits more within a map that is no line
KNOT_DIGITS = 10  # digits of the places between which such a map is taken as a line
NEAR_KNOTS = 12  # digits of how many knots are searched to either side at first
KNOT_REACH = 30  # and at most
SLICES = 8  # one after the other, so that few bits are drawn at a time
OUT_OF_REACH = 2**62  # of products, which have to be whole numbers of 64 bits
UNIT = np.ones(1, np.int64)
ALIKE_AT_ONCE = 12  # digits of equally likely numbers that are coded together: the coder would round probabilities of more by too much

RisingMap = Callable[[Tensor], Tensor]  # elementwise, (n, 1) to (n, 1)


def to_grid(x: Tensor | np.ndarray, digits: int = POINT) -> np.ndarray:
    """The nearest numbers on the grid, int64 of the shape of x: whole numbers of ``2^-digits``."""
    reals = np.nan_to_num(np.asarray(x), nan=0.0, posinf=1e9, neginf=-1e9)
    return np.rint(np.clip(reals, -1e9, 1e9) * 2.0**digits).astype(np.int64)


def from_grid(k: np.ndarray, digits: int = POINT) -> Tensor:
    """Numbers on the grid as float64, exactly."""
    return torch.from_numpy(k * 2.0**-digits)


def draw(stack: Stack, sizes: np.ndarray) -> np.ndarray:
    """Whole numbers below sizes, int64 ``(n,)``, taken from the stack."""
    return _uniform(stack.popping, sizes, None)


def keep(stack: Stack, sizes: np.ndarray, values: np.ndarray) -> None:
    """What :func:`draw` takes."""
    with stack.pushing() as coder:
        _uniform(coder, sizes, values)


def rescale(stack: Stack, k: np.ndarray, up: np.ndarray, down: np.ndarray, back: bool = False) -> np.ndarray:
    """``k up / down`` rounded down, and what was rounded off onto the stack: for r drawn below ``up``, ``k up + r`` divided by ``down``.

    It takes ``log2 up`` bits and leaves ``log2 down``, which is the logarithm of the factor for each number, exactly. ``back`` undoes it.

    Source: the uniform coder of iFlow, Zhang, Kang, Ryder, Li, 2021, arXiv:2111.00965.

    Arguments:
        stack: of bits.
        k: on the grid.
        up, down: whole numbers of at least 1, that broadcast to k.
        back: undo it.

    Raises:
        Damage: a number is too far away.
    """
    if k.size and int(np.abs(k).max()) * int(max(up.max(), down.max())) > OUT_OF_REACH:
        raise Damage("it holds a number that is too far from the others")
    found = k.ravel().copy()
    factors = [np.broadcast_to(part, k.shape).ravel() for part in ((down, up) if back else (up, down))]
    for part in in_parts(found.size, back):
        first, second = (factor[part] for factor in factors)
        found[part], rest = np.divmod(found[part] * first + draw(stack, first), second)
        keep(stack, second, rest)
    return found.reshape(k.shape)


def ratio(log_factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers ``up, down`` whose ratio is a factor from 2^-22 to 2^22, to .2 % or better; the smaller is 256."""
    log2 = np.clip(np.nan_to_num(log_factor) / np.log(2), -LARGEST_FACTOR, LARGEST_FACTOR)
    larger = np.rint(2.0 ** (FACTOR_DIGITS + np.abs(log2))).astype(np.int64)
    smaller = np.full_like(larger, 2**FACTOR_DIGITS)
    return np.where(log2 > 0, larger, smaller), np.where(log2 > 0, smaller, larger)


def bend(stack: Stack, f: Callable[[slice], RisingMap], k: np.ndarray, back: bool = False) -> np.ndarray:
    """Rising maps of numbers ``(n,)``, each a line between knots that are 2^-10 apart.

    Between two knots there are N numbers of a finer grid, and M between their images; :func:`rescale` does the rest. The knots' images are
    a little further apart than the map has them, by one number of the finer grid, so that none are equal.

    Cost: two values of the map, to undo it some 17.

    Arguments:
        stack: of bits.
        f: the map of some of the numbers.
        k: on the grid.
        back: undo it.

    Raises:
        Damage: a number is beyond all knots.
    """
    found, fine, inner = k.copy(), POINT + BEND_DIGITS, 2 ** (POINT + BEND_DIGITS - KNOT_DIGITS)
    for part in in_parts(len(k), back):
        map_of_part = f(part)

        def image(j: np.ndarray, map_of_part: RisingMap = map_of_part) -> np.ndarray:
            return to_grid(map_of_part(from_grid(j, KNOT_DIGITS)[:, None])[:, 0], fine) + j

        here = (
            rescale(stack, found[part], UNIT, UNIT << BEND_DIGITS, True) if back else rescale(stack, found[part], UNIT << BEND_DIGITS, UNIT)
        )
        j = _knot(image, here) if back else here >> (fine - KNOT_DIGITS)
        if (np.abs(j) >= 2**KNOT_REACH).any():
            raise Damage("it holds a number that is too far from the others")
        start, knot = image(j), j * inner
        width = image(j + 1) - start
        if (width < 1).any() or (width > OUT_OF_REACH // inner).any():
            raise Damage("it holds a number where the model's map does not rise")
        if back:
            here = knot + rescale(stack, here - start, width, UNIT * inner, True)
        else:
            here = start + rescale(stack, here - knot, width, UNIT * inner)
        found[part] = rescale(stack, here, UNIT << BEND_DIGITS, UNIT, True) if back else rescale(stack, here, UNIT, UNIT << BEND_DIGITS)
    return found


def in_parts(count: int, back: bool) -> list[slice]:
    """Which of so many numbers go together, and in which order."""
    step = max(16, -(-count // SLICES))
    found = [slice(start, min(start + step, count)) for start in range(0, count, step)]
    return found[::-1] if back else found


def _knot(image: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> np.ndarray:
    """The last knot whose image is at most z, by bisection."""
    reach = NEAR_KNOTS
    while (image(np.full(len(z), -(2**reach))) > z).any() or (image(np.full(len(z), 2**reach)) <= z).any():
        reach += 2
        if reach > KNOT_REACH:
            raise Damage("it holds a number that is too far from the others")
    low = np.full(len(z), -(2**reach), np.int64)
    for step in 2 ** np.arange(reach, -1, -1):
        low = np.where(image(low + step) <= z, low + step, low)
    return low


def _uniform(coder: Coder, sizes: np.ndarray, values: np.ndarray | None) -> np.ndarray:
    """Equally likely numbers below sizes, the first digits first. Whatever bits are drawn, there is such a number: the last of the first
    digits has fewer numbers than the others.
    """
    if (sizes < 1).any():
        raise Damage("it holds a number where there is none")
    found, left = np.zeros(len(sizes), np.int64), sizes.copy()
    while len(several := np.flatnonzero(left > 1)):
        part = left[several]
        places = np.maximum(np.frexp((part - 1).astype(np.float64))[1] - ALIKE_AT_ONCE, 0)
        known = None if values is None else (values[several] - found[several]) >> places
        digit = coder.uniform(((part - 1) >> places) + 1, known).astype(np.int64) << places
        found[several] += digit
        left[several] = np.minimum(np.int64(1) << places, part - digit)
    return found
