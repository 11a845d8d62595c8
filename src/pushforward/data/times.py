"""Times as whole ticks: of the type that holds them, or of what text and whole numbers mean."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from .cells import Cells, called, is_string
from .compute import pc
from .errors import DataError
from .restore import numeric

FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
LENGTHS = {"day": 86_400 * 10**9, "hour": 3_600 * 10**9, "minute": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
PLURALS = {
    "day": "days",
    "hour": "hours",
    "minute": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
EPOCHS = ("s", "ms", "us", "ns")
RECENT = (631_152_000, 2_524_608_000)  # seconds since 1970 of 1990 and 2050: whole numbers in between are times
CALENDAR = (-62_135_596_800, 253_402_300_799)  # and of the first and the last second of the years 1 to 9999
DATES = (18_000_101, 22_001_231)  # YYYYMMDD that people write, and what they write for never:
NEVER = 99_991_231


def recognised(whole: np.ndarray) -> str | None:
    """What whole numbers are, if all of them are times by their size: an unit since 1970, or ``yyyymmdd``.

    Example::

        >>> recognised(np.array([20130131, 20130201, 99991231])), recognised(np.array([1_600_000_000_000]))
        ('yyyymmdd', 'ms')
    """
    low, high = int(whole.min()), int(whole.max())
    for unit in EPOCHS:
        per = LENGTHS["s"] // LENGTHS[unit]
        if RECENT[0] * per <= low and high < RECENT[1] * per:
            return unit
    usual = whole[whole != NEVER]
    if len(usual) and DATES[0] <= usual.min() and usual.max() <= DATES[1] and (figures(days_of(whole)) == whole).all():
        return "yyyymmdd"
    return None


def guessed(whole: np.ndarray | None) -> str:
    """The unit since 1970 of whole numbers that somebody says are times: the longest that leaves them before the year 5138."""
    largest = 0 if whole is None else int(np.abs(whole).max())
    return next(unit for unit in EPOCHS if largest < 10**11 * (LENGTHS["s"] // LENGTHS[unit]) or unit == "ns")


def tick(dtype: pa.DataType, written: str | None) -> int:
    """The nanoseconds of one tick of a type, or of what is written."""
    if written is not None:
        return LENGTHS["day" if written == "yyyymmdd" else written if written in EPOCHS else "s"]
    if pa.types.is_date32(dtype):
        return LENGTHS["day"]
    return LENGTHS["ms" if pa.types.is_date64(dtype) else getattr(dtype, "unit", "s")]


def reach(length: int, dtype: pa.DataType) -> tuple[int, int]:
    """The first and the last tick of ``length`` nanoseconds that a type can hold, of points in time within the years 1 to 9999."""
    first, last = -(2**63) + 1, 2**63 - 1
    if pa.types.is_duration(dtype):
        return first, last
    seconds = CALENDAR[0] * LENGTHS["s"], (CALENDAR[1] + 1) * LENGTHS["s"]
    return max(first, seconds[0] // length), min(last, seconds[1] // length - 1)


def ticks(cells: Cells, dtype: pa.DataType, written: str | None) -> np.ndarray:
    """Times as int64 ticks of a type ``(N,)``: types of times, text as it is written, whole numbers in their unit or in seconds.

    Raises:
        DataError: something else, or finer than the type's ticks.
    """
    values, own = cells.values, tick(dtype, written)
    if is_string(values.type):
        format = written if written and "%" in written else FORMATS[0]
        read = pc.strptime(values, format=format, unit="s", error_is_null=True)
        cells.refuse(pc.is_null(read).to_numpy(), f"which is not a time written as {format}; convert it")
        found, length = read.cast(pa.int64()).to_numpy(), LENGTHS["s"]
    elif pa.types.is_temporal(values.type) and not pa.types.is_interval(values.type):
        length = tick(values.type, None)
        narrow = pa.types.is_date32(values.type) or pa.types.is_time32(values.type)
        found = values.cast(pa.int32() if narrow else pa.int64()).to_numpy().astype(np.int64)
    elif cells.numeric and not pa.types.is_boolean(values.type) and cells.whole is not None:
        if written == "yyyymmdd":
            found = days_of(cells.whole)
            cells.refuse(figures(found) != cells.whole, "which is no date YYYYMMDD; correct it, or declare the kind 'integer' at the fit")
            return found
        found, length = cells.whole, LENGTHS[written if written in EPOCHS else "s"]
    else:
        what = f"column {cells.name!r} holds {called(values.type)} instead of times"
        raise DataError(f"{cells.where}: {what}; give timestamps or whole seconds since 1970")
    if length >= own:
        factor = length // own
        cells.refuse(np.abs(found) > (2**63 - 1) // factor, "which is beyond the times that this column's type can hold")
        return found * factor
    per, seconds = own // length, own / LENGTHS["s"]
    cells.refuse(found % per != 0, f"but this column counts in steps of {seconds:,g} seconds; round the times to that")
    return found // per


def restored(whole: np.ndarray, missing: np.ndarray, dtype: pa.DataType, written: str | None) -> pa.Array:
    """Ticks as an Arrow array of the type (and, for text, in the format) that the column had."""
    if written in EPOCHS:
        if pa.types.is_integer(dtype):
            limits = np.iinfo(dtype.to_pandas_dtype())
            return pa.array(np.clip(whole, limits.min, min(limits.max, 2**63 - 1)), pa.int64(), mask=missing).cast(dtype)
        return numeric(np.where(missing, np.nan, whole.astype(np.float64)), str(dtype))
    if written is not None:
        return pc.strftime(pa.array(whole, pa.int64(), mask=missing).cast(pa.timestamp("s")), format=written).cast(dtype)
    narrow = pa.types.is_date32(dtype) or pa.types.is_time32(dtype)
    return pa.array(whole, pa.int64(), mask=missing).cast(pa.int32() if narrow else pa.int64()).cast(dtype)


def days_of(dates: np.ndarray) -> np.ndarray:
    """YYYYMMDD as days since 1970; what is no date becomes some other day."""
    months = (np.clip(dates // 10_000, 1, 9_999) - 1970) * 12 + dates // 100 % 100 - 1
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + dates % 100 - 1


def figures(days: np.ndarray) -> np.ndarray:
    """Days since 1970 as YYYYMMDD."""
    day = days.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    since = month.astype(np.int64)
    return (since // 12 + 1970) * 10_000 + (since % 12 + 1) * 100 + (day - month).astype(np.int64) + 1


def time_format(values: pa.ChunkedArray) -> str | None:
    """The format in which every value is a time, such that writing it again gives the same text; None if there is none."""
    return next((format for format in FORMATS if len(values) and _written_in(values, format)), None)


def _written_in(values: pa.ChunkedArray, format: str) -> bool:
    for part in (values.slice(0, 1), values):  # the first value alone rules most columns out
        times = pc.strptime(part, format=format, unit="s", error_is_null=True)
        again = pc.strftime(times, format=format)
        if not pc.all(pc.fill_null(pc.equal(again, part.cast(again.type)), False)).as_py():
            return False
    return True
