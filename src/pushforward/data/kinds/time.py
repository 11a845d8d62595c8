"""Dates, timestamps, durations and times of day, whatever they are written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from .. import times
from ..cells import EXACT, Cells, called, is_string
from ..errors import DataError
from ..restore import arrow_type, numeric
from .counted import Counted

STEADY = 2**40  # counts that leave float64 a thousandth of a count for what layers do to them


@dataclass(frozen=True, kw_only=True)
class Time(Counted):
    """Points in time, spans or times of day, encoded as counts of the longest unit that holds them all, from an origin.

    Attributes:
        unit: ``day``, ``hour``, ``minute``, ``s``, ``ms``, ``us`` or ``ns``.
        written: how text is written (a format of ``strftime``), or what whole numbers are: ``s``, ``ms``, ``us`` or ``ns`` since 1970,
            or ``yyyymmdd``; None for types of times.
        origin: what is counted from, in ticks of the type; not 0 only where counts from 0 would be too long for what layers do to them.
        low, high: the ends, in counts; None where there is none.
        cut: whether parts finer than a second are cut off, as they were in runs of old.
    """

    name: ClassVar[str] = "time"
    unit: str = "s"
    written: str | None = None
    origin: int = 0
    low: float | None = None
    high: float | None = None
    cut: bool = False

    @classmethod
    def infer(cls, cells: Cells) -> Time | None:
        """Types of times, text in one of the formats, and whole numbers that are dates by their size: see :func:`times.recognised`."""
        dtype = cells.dtype
        if pa.types.is_temporal(dtype) and not pa.types.is_interval(dtype):
            return cls._of(cells, None)
        if is_string(dtype):
            format = times.time_format(cells.values)
            return cls._of(cells, format) if format else None
        whole = None if is_string(dtype) or not cells.numeric or pa.types.is_boolean(dtype) else cells.whole
        written = None if whole is None else times.recognised(whole)
        return cls._of(cells, written) if written else None

    @classmethod
    def of(cls, cells: Cells) -> Time:
        """As it was declared: whole numbers are times whatever their size.

        Raises:
            DataError: the values are no times.
        """
        found = cls.infer(cells)
        if found is None and is_string(cells.dtype):
            formats = " or ".join(times.FORMATS[:3])
            raise DataError(f"{cells.where}: column {cells.name!r} is not written as a time ({formats}); convert it to a timestamp")
        if found is None and (not cells.numeric or cells.whole is None):
            raise DataError(
                f"{cells.where}: column {cells.name!r} holds {called(cells.dtype)}; for the kind 'time' give "
                "timestamps or whole seconds since 1970"
            )
        return found or cls._of(cells, times.guessed(cells.whole))

    @classmethod
    def _of(cls, cells: Cells, written: str | None) -> Time:
        kind = cls(dtype=str(cells.dtype), written=written)
        ticks = kind._ticks(cells)
        tick, largest = kind._tick, int(np.abs(ticks).max())
        unit = next(unit for unit, length in times.LENGTHS.items() if length >= tick and not (ticks % (length // tick)).any())
        per = times.LENGTHS[unit] // tick
        origin = 0 if largest // per <= STEADY else int(ticks.min())
        if (int(ticks.max()) - int(ticks.min())) // per > EXACT:
            raise DataError(
                f"{cells.where}: column {cells.name!r} spans more than 2**53 {times.PLURALS[unit]}; round its times to longer units"
            )
        low = 0.0 if kind.clock or (kind.span and not origin and ticks.min() >= 0) else None
        high = times.LENGTHS["day"] / times.LENGTHS[unit] - 1 if kind.clock else None
        return cls(dtype=kind.dtype, written=written, unit=unit, origin=origin, low=low, high=high)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        return self.low, self.high

    @property
    def span(self) -> bool:
        """Whether these are durations."""
        return self.dtype.startswith("duration")

    @property
    def clock(self) -> bool:
        """Whether these are times of day."""
        return self.dtype.startswith("time32") or self.dtype.startswith("time64")

    @property
    def step(self) -> float:
        """Seconds per count."""
        seconds = times.LENGTHS[self.unit] / times.LENGTHS["s"]
        return int(seconds) if seconds >= 1 else seconds

    def days(self, x: float) -> float:
        """Days since 1970 of an encoded number."""
        return (self.origin * self._tick + x * times.LENGTHS[self.unit]) / times.LENGTHS["day"]

    def encode(self, cells: Cells) -> np.ndarray:
        ticks, per = self._ticks(cells), times.LENGTHS[self.unit] // self._tick
        first, last = self._reach()
        cells.refuse((ticks < first) | (ticks > last), "which is beyond the years 1 to 9999 or what the column's type can hold")
        if self.cut:
            ticks = ticks - ticks % max(1, times.LENGTHS["s"] // self._tick)
        moved = ticks - self.origin
        cells.refuse(
            moved % per != 0,
            f"but this column counts in {times.PLURALS[self.unit]}, steps of {self.step:,} seconds; round the times to that",
        )
        counts = moved // per
        cells.refuse(np.abs(counts) > EXACT, f"too far from the others to be counted in {times.PLURALS[self.unit]}; drop the row")
        self.inside(cells, counts.astype(np.float64))
        return counts.astype(np.float64)

    def decode(self, x: np.ndarray) -> pa.Array:
        missing, per = ~np.isfinite(x), times.LENGTHS[self.unit] // self._tick
        first, last = self._reach()
        low, high = max(-EXACT, -((self.origin - first) // per)), min(EXACT, (last - self.origin) // per)
        counts = np.clip(np.where(missing, 0.0, self.kept(x)), low, high).astype(np.int64)
        ticks = self.origin + counts * per
        if self.written == "yyyymmdd":
            return numeric(np.where(missing, np.nan, times.figures(ticks)), self.dtype)
        return times.restored(np.where(missing, 0, ticks), missing, arrow_type(self.dtype), self.written)

    def shown(self, x: float) -> str:
        value = self.decode(np.array([x]))
        words = str(value[0].as_py()) if self.unit != "ns" else str(value.cast(pa.string())[0])
        return words.removesuffix(":00") if self.clock else words

    def words(self) -> str:
        counted = f"counted in {times.PLURALS[self.unit]}"
        if self.span or self.clock:
            return f"{'durations' if self.span else 'times of day'}, {counted}"
        if self.written in times.EPOCHS:
            return f"time, whole numbers read as {times.PLURALS[self.written]} since 1970 (declare 'integer' if they are none), {counted}"
        if self.written == "yyyymmdd":
            return "time, whole numbers read as dates YYYYMMDD (declare 'integer' if they are none), counted in days since 1970"
        return f"time, {counted} since 1970"

    def check(self) -> None:
        super().check()
        known = self.written in (None, "yyyymmdd", *times.EPOCHS) or (isinstance(self.written, str) and "%" in self.written)
        if self.unit not in times.LENGTHS or not known or abs(self.origin) >= 2**63 or times.LENGTHS[self.unit] < self._tick:
            raise DataError(f"expected a unit of time among {', '.join(times.LENGTHS)}, got {self.unit!r} written as {self.written!r}")

    @property
    def _tick(self) -> int:
        """Nanoseconds of a tick of the type."""
        return times.tick(arrow_type(self.dtype), self.written)

    def _ticks(self, cells: Cells) -> np.ndarray:
        return times.ticks(cells, arrow_type(self.dtype), self.written)

    def _reach(self) -> tuple[int, int]:
        """The first and the last tick that the type can hold."""
        if self.clock:
            return 0, times.LENGTHS["day"] // self._tick - 1
        return times.reach(self._tick, arrow_type(self.dtype))
