"""Matrices on a grid: as permutation, triangles with ones on their diagonal, and a factor for each channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core import Transform
from .damage import Damage
from .grid import ratio, rescale, to_grid
from .stack import Stack

ENTRY_DIGITS = 20  # binary digits behind the point of the entries of a triangle
EXACTLY_HELD = 2.0**52  # whole numbers up to which float64 adds and multiplies without rounding, in any order


@dataclass
class GridMatrix:
    """``z = P L D U x + b`` of a linear layer of the channels; the triangles add whole numbers, D rescales.

    Attributes:
        order: of P: ``z_i`` is row ``order[i]`` of what L gives.
        lower, upper: the triangles without their diagonals, whole numbers of 2^-20, ``(C, C)``.
        log_factor, negative: of D, ``(C,)``.
        shift: b on the grid, ``(C,)``.
    """

    order: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    log_factor: np.ndarray
    negative: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, layer: Transform, channels: int, space: int) -> GridMatrix:
        """The matrix of a layer that does the same at every position of so many axes."""
        with torch.no_grad():
            nothing = torch.zeros(1, channels, *(1,) * space, dtype=torch.float64)
            each = torch.eye(channels, dtype=torch.float64).view(channels, channels, *(1,) * space)
            shift = layer(nothing)[0].flatten()
            matrix = layer(each)[0].reshape(channels, channels).mT - shift[:, None]
            permutation, lower, upper = torch.linalg.lu(matrix)
        diagonal = upper.diagonal()
        return cls(
            order=permutation.argmax(1).numpy(),
            lower=to_grid(lower.tril(-1), ENTRY_DIGITS).astype(np.float64),
            upper=to_grid((upper / diagonal[:, None]).triu(1), ENTRY_DIGITS).astype(np.float64),
            log_factor=diagonal.abs().log().numpy(),
            negative=(diagonal < 0).numpy(),
            shift=to_grid(shift),
        )

    def through(self, stack: Stack, k: np.ndarray, back: bool) -> np.ndarray:
        """Numbers on the grid ``(B, C, *space)`` to others; ``back`` undoes it."""
        rows = np.moveaxis(k, 1, 0)
        shape = rows.shape
        rows = rows.reshape(shape[0], -1)
        signs, (up, down) = np.where(self.negative, -1, 1)[:, None], (part[:, None] for part in ratio(self.log_factor))
        if back:
            rows = (rows - self.shift[:, None])[np.argsort(self.order)]
            rows = _without(rows, self.lower, range(len(rows)))
            rows = rescale(stack, rows * signs, up, down, back=True)
            rows = _without(rows, self.upper, range(len(rows) - 1, -1, -1))
        else:
            rows = rows + _product(self.upper, rows)
            rows = rescale(stack, rows, up, down) * signs
            rows = (rows + _product(self.lower, rows))[self.order] + self.shift[:, None]
        return np.moveaxis(rows.reshape(shape), 0, 1)


def _product(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A matrix with whole numbers, rounded to the grid: every sum of products is exact, so that its order does not matter."""
    numbers = rows.astype(np.float64)
    if numbers.size and np.abs(matrix).sum(1).max() * np.abs(numbers).max() >= EXACTLY_HELD:
        raise Damage("it holds a number that is too far from the others")
    return (matrix @ numbers).astype(np.int64) + (1 << (ENTRY_DIGITS - 1)) >> ENTRY_DIGITS


def _without(rows: np.ndarray, matrix: np.ndarray, order: range) -> np.ndarray:
    """x of ``z = x + M x``, row by row, each from those that its product reads."""
    found = rows.copy()
    for i in order:
        found[i] -= _product(matrix[i : i + 1], found)[0]
    return found


def channel_factors(stack: Stack, k: np.ndarray, log_factor: Tensor, shift: Tensor, back: bool) -> np.ndarray:
    """``x exp(s) + b`` with one s and one b for each channel."""
    shape = (1, -1, *(1 for _ in k.shape[2:]))
    up, down = (part.reshape(shape) for part in ratio(log_factor.detach().numpy()))
    moved = to_grid(shift.detach()).reshape(shape)
    return rescale(stack, k - moved, up, down, back=True) if back else rescale(stack, k, up, down) + moved
