"""The numbers that a column can hold, counted: decimals of some digits, or the floats of a width."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

DIGITS = 12  # behind the point, at most, of decimals
EXACTLY = 2**53  # counts that float64 holds
MIDDLE = np.uint64(2**63)  # the key of 0


@dataclass(frozen=True)
class Lattice:
    """Numbers by keys: uint64 that rise with the number.

    A column whose numbers are all written with two decimals has 100 numbers between 0 and 1, one of arbitrary float64 has 2^62: what
    does not have to be told apart costs nothing.

    Attributes:
        digits: behind the point, of decimals; None for floats.
        single: whether numbers are those nearest in float32.
    """

    digits: int | None = None
    single: bool = False
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(double|single)(?::(\d{1,2}))?")

    @classmethod
    def of(cls, x: np.ndarray, whole: bool = False) -> Lattice:
        """The coarsest lattice that holds all of these numbers, none of which is missing.

        Example::

            >>> str(Lattice.of(np.array([0.5, 1.25, -3.0])))
            'double:2'
        """
        if whole:
            return cls(0)
        largest = float(np.abs(x).max(initial=0))
        for single in (False, True):
            for digits in range(DIGITS + 1):
                lattice = cls(digits, single)
                if largest < EXACTLY / 10.0**digits and (lattice.values(lattice.keys(x)) == x).all():
                    return lattice
        with np.errstate(over="ignore", under="ignore"):
            return cls(None, bool((x.astype(np.float32) == x).all()))

    @classmethod
    def parse(cls, text: str) -> Lattice:
        """The lattice that ``str`` wrote.

        Raises:
            ValueError: there is none of that name.
        """
        found = cls.pattern.fullmatch(text)
        if not found or (found[2] is not None and int(found[2]) > DIGITS):
            raise ValueError(f"Lattice: there is none called {text!r:.40}")
        return cls(None if found[2] is None else int(found[2]), found[1] == "single")

    def __str__(self) -> str:
        return ("single" if self.single else "double") + ("" if self.digits is None else f":{self.digits}")

    @property
    def ends(self) -> tuple[np.uint64, np.uint64]:
        """The least and the greatest key."""
        if self.digits is not None:
            return MIDDLE - np.uint64(EXACTLY), MIDDLE + np.uint64(EXACTLY)
        greatest = self.keys(np.array([np.finfo(np.float32 if self.single else np.float64).max], np.float64))[0]
        return MIDDLE - (greatest - MIDDLE), greatest

    def keys(self, x: np.ndarray) -> np.ndarray:
        """The key of the number of the lattice that is nearest, or near."""
        if self.digits is not None:
            counts = np.rint(np.clip(x, -EXACTLY, EXACTLY) * 10.0**self.digits).clip(-EXACTLY, EXACTLY).astype(np.int64)
            return _lifted(counts)
        if self.single:
            bits = x.astype(np.float32).view(np.int32).astype(np.int64)
            return _lifted(np.where(bits < 0, -(bits & (2**31 - 1)), bits))
        whole = np.ascontiguousarray(x, np.float64).view(np.int64)
        return _lifted(np.where(whole < 0, -(whole & (2**63 - 1)), whole))

    def values(self, keys: np.ndarray) -> np.ndarray:
        """The numbers of keys, float64."""
        counts = (keys ^ MIDDLE).view(np.int64)
        if self.digits is not None:
            found = counts / 10.0**self.digits
            return found.astype(np.float32).astype(np.float64) if self.single else found
        sign, size = np.where(counts < 0, -1.0, 1.0), np.abs(counts)
        if self.single:
            return sign * size.astype(np.int32).view(np.float32).astype(np.float64)
        return sign * size.view(np.float64)

    def below(self, x: np.ndarray) -> np.ndarray:
        """The key of the greatest number of the lattice that is at most x, whatever x is."""
        low, high = self.ends
        least, greatest = self.values(np.array([low, high]))
        x = np.clip(x, least, greatest)
        keys = np.clip(self.keys(x), low, high)
        one = np.uint64(1)
        keys = np.where((self.values(keys) > x) & (keys > low), keys - one, keys)
        up = np.minimum(keys + one, high)
        return np.where(self.values(up) <= x, up, keys)

    def spacing(self, x: np.ndarray) -> np.ndarray:
        """The distance to the next number."""
        if self.digits is not None:
            return np.full(x.shape, 10.0**-self.digits)
        return np.spacing(np.abs(x).astype(np.float32)).astype(np.float64) if self.single else np.spacing(np.abs(x))


def _lifted(counts: np.ndarray) -> np.ndarray:
    """Signed counts as keys."""
    return np.ascontiguousarray(counts, np.int64).view(np.uint64) ^ MIDDLE
