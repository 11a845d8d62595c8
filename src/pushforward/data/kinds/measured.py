"""What kinds of real numbers have in common: a density, and as many decimals as the data have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...core import Chain, Transform
from ...transforms import Atoms, Elementwise, Standardize
from ...univariate import Logit
from ..cells import Cells
from ..restore import arrow_type, numeric
from .base import Kind


@dataclass(frozen=True, kw_only=True)
class Measured(Kind):
    """Real numbers.

    Attributes:
        digits: decimals of the data, to which decoded numbers are rounded, so that samples look like data; None for all that floats have.
    """

    digits: int | None = None

    def encode(self, cells: Cells) -> np.ndarray:
        x = cells.numbers
        cells.refuse(~np.isfinite(x), "which is not a finite number; drop such rows")
        return x

    def decode(self, x: np.ndarray) -> pa.Array:
        if self.digits is not None:
            x = np.rint(x * 10.0**self.digits) / 10.0**self.digits
        return numeric(x, self.dtype)

    def shown(self, x: float) -> str:
        return f"{x:.5g}"

    def inward(self, end: float, other: float) -> float:
        """The number beside an end, towards the other, that the column can hold."""
        if self.digits is not None:
            return end + math.copysign(10.0**-self.digits, other - end)
        native = np.dtype(arrow_type(self.dtype).to_pandas_dtype())
        floats = native.type if native.kind == "f" else np.float64
        return float(np.nextafter(floats(end), floats(other)))


def logits(ends: Sequence[tuple[float, float]]) -> Transform:
    """A logit of each column's open interval."""
    low, width = [low for low, _ in ends], [high - low for low, high in ends]
    return Chain(Standardize(low, width), Elementwise(Logit(), (len(ends),)))


def room_for_atoms(kinds: Sequence[Measured]) -> Transform:
    """Room beyond the closed ends for their points of mass, half a deviation wide."""
    ends = [kind.support() for kind in kinds]
    low = [-np.inf if end.low is None else end.low for end in ends]
    high = [np.inf if end.high is None else end.high for end in ends]
    return Atoms(low, high, [atom_width(kind) for kind in kinds])


def atom_width(kind: Measured) -> float:
    """Half a deviation."""
    return kind.seen.scale / 2 or 1.0


def atom_moments(kind: Measured, x: np.ndarray) -> tuple[float, float]:
    """Mean and deviation behind :func:`room_for_atoms`: at an end x is replaced by ``end -+ w e``, e of mean and deviation 1."""
    end, width = kind.support(), atom_width(kind)
    low, high = x == end.low, x == end.high
    mean = x - width * low + width * high
    return float(mean.mean()), float(np.sqrt(mean.var() + width**2 * (low | high).mean()))


def float_dtype(cells: Cells) -> str:
    """The type that real numbers come back as: floats and decimals as they were, others as float64."""
    dtype = cells.dtype
    return str(dtype) if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype) else "double"
