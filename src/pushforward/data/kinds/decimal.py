"""Decimals on a grid: cents, tenths, halves, tens."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ..cells import EXACT, Cells, is_string
from ..errors import DataError
from ..restore import arrow_type, numeric
from .counted import Counted, ends_of

NEIGHBOURS = 10  # steps within which a smooth density hardly changes
REPEATED = 0.25  # distinct values as a share of the rows, up to which a grid shows
COARSE = 100  # steps from one value to the next, the most by the median: finer steps are those of the writing and not of the values


@dataclass(frozen=True, kw_only=True)
class DecimalGrid(Counted):
    """Multiples of a step, ``value = count unit / 10^digits``, encoded as their counts; the quotient is the float that was read.

    Attributes:
        unit, digits: the step is ``unit / 10^digits``: 1 and 2 for cents, 5 and 1 for halves, 10 and 0 for tens.
        low, high: the ends, in counts; None where there is none.
    """

    name: ClassVar[str] = "grid"
    unit: int = 1
    digits: int = 0
    low: float | None = None
    high: float | None = None

    @classmethod
    def infer(cls, cells: Cells) -> DecimalGrid | None:
        """Whole numbers with a common divisor, and decimals that repeat as only those on a grid do."""
        values, counts = cells.distinct
        found = cells.decimals
        if found is None:
            return None
        digits, on = found
        if digits == 0:
            return cls.of(cells) if divisor(on) > 1 else None
        large = on >= np.quantile(on, 0.75)  # where fewer decimals are written of larger numbers, the step of those counts
        step = divisor(on[large])
        coarse = np.median(np.diff(on)) <= COARSE * divisor(on)
        many = len(values) <= REPEATED * len(cells) or favours(on[large] // step, counts[large])
        return cls.of(cells) if coarse and many else None

    @classmethod
    def of(cls, cells: Cells, step: str | None = None) -> DecimalGrid:
        """As it was declared; the step is found in the values unless it is given.

        Raises:
            DataError: the values are no decimals, or the step is none.
        """
        found = cells.decimals
        if found is None:
            raise DataError(f"{cells.where}: column {cells.name!r} holds no decimals of a common step; declare the kind 'real'")
        digits, unit = (found[0], divisor(found[1])) if step is None else step_of(step)
        dtype = "double" if is_string(cells.dtype) else str(cells.plain.type)
        on = found[1] * 10 ** max(0, digits - found[0]) // (10 ** max(0, found[0] - digits) * unit)
        low, high = ends_of(on, cells.distinct[1]) if len(np.unique(on)) == len(on) else (None, None)
        return cls(dtype=dtype, unit=unit, digits=digits, low=low, high=high)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        return self.low, self.high

    @property
    def step(self) -> float:
        return self.unit / 10**self.digits

    @property
    def most(self) -> int:
        dtype, most = arrow_type(self.dtype), EXACT
        if pa.types.is_decimal(dtype):
            most = min(most, (10**dtype.precision - 1) // 10 ** max(0, dtype.scale - self.digits))
        elif pa.types.is_integer(dtype):
            most = min(most, np.iinfo(dtype.to_pandas_dtype()).max)
        return most // self.unit

    def encode(self, cells: Cells) -> np.ndarray:
        x = cells.numbers
        cells.refuse(~np.isfinite(x), "which is not a finite number; drop such rows")
        counts = np.rint(np.clip(x * (10.0**self.digits / self.unit), -EXACT, EXACT))
        values, own = self._values(counts), arrow_type(self.dtype)
        floats = {cells.precision, np.dtype(own.to_pandas_dtype()) if pa.types.is_floating(own) else cells.precision}
        with np.errstate(over="ignore"):
            off = [values.astype(precision) != x.astype(precision) for precision in floats]  # 0.47 is written in two ways
        cells.refuse(
            np.logical_and.reduce(off), f"but this column holds multiples of {self.step:g}; round it, or declare the kind 'real' at the fit"
        )
        self.inside(cells, counts)
        return counts

    def decode(self, x: np.ndarray) -> pa.Array:
        return numeric(self._values(self.kept(x)), self.dtype)

    def shown(self, x: float) -> str:
        return f"{self._values(np.array([x]))[0]:.{self.digits}f}"

    def words(self) -> str:
        ends = "" if self.levels is None else f" from {self.shown(self.low or 0.0)} to {self.shown(self.high or 0.0)}"
        return f"multiples of {self.step:g}{ends}"

    def check(self) -> None:
        super().check()
        if not 1 <= self.unit <= EXACT or not 0 <= self.digits <= 22 or pa.types.is_boolean(arrow_type(self.dtype)):
            raise DataError(f"expected a step of at least 1 / 10^22, got {self.unit} / 10^{self.digits}")

    def _values(self, counts: np.ndarray) -> np.ndarray:
        """The floats nearest to the decimals: numerator and denominator are exact, and a quotient is rounded once."""
        return np.clip(counts * self.unit, -EXACT, EXACT) / 10.0**self.digits


def digits_of(cells: Cells) -> int | None:
    """Decimals that all values have at most; None for whole numbers and for floats of no few decimals."""
    found = cells.decimals
    return found[0] or None if found else None


def divisor(counts: np.ndarray) -> int:
    """The greatest common divisor."""
    return int(np.gcd.reduce(np.abs(counts))) or 1


def favours(values: np.ndarray, counts: np.ndarray) -> bool:
    """Whether rows meet in one value more often than in neighbouring ones, as favourites do and smooth densities do not.

    Of pairs of rows, those that are equal against those that are 1 to 10 steps apart (the median over the ten).
    """
    equal, apart = float((counts * (counts - 1)).sum()), []
    for distance in range(1, NEIGHBOURS + 1):
        at = np.minimum(np.searchsorted(values, values + distance), len(values) - 1)
        apart.append(float((counts * counts[at])[values[at] == values + distance].sum()))
    usual = float(np.median(apart))
    return equal > 4 * usual + 5 * np.sqrt(usual) + 10


def step_of(step: str) -> tuple[int, int]:
    """``0.25`` as ``(2, 25)``: digits behind the point, and the step as a count of the last."""
    _, figures, exponent = Decimal(step).normalize().as_tuple()
    assert isinstance(exponent, int)
    return max(0, -exponent), int("".join(map(str, figures))) * 10 ** max(0, exponent)
