"""Times as whole seconds since 1970, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import DataError, shown

FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
STEPS = (86_400, 3_600, 60)
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FURTHEST = 60_000_000_000  # seconds from 1970 that a decoded time may lie: the year 3871


def seconds(values: pa.ChunkedArray, format: str | None, name: str, where: str) -> np.ndarray:
    """Timestamps, dates, whole seconds or text in the given format as int64 seconds ``(N,)``; fractions are cut off."""
    dtype = values.type
    if pa.types.is_integer(dtype):
        return values.to_numpy().astype(np.int64)
    if pa.types.is_string(dtype) or pa.types.is_large_string(dtype):
        times = pc.strptime(values, format=format or FORMATS[0], unit="s", error_is_null=True)
        bad = pc.is_null(times).to_numpy()
        if bad.any():
            row = int(bad.argmax())
            raise DataError(f"{where}: {shown(values[row])} in column {name!r} is not a time written as {format or FORMATS[0]}; convert it")
        return times.cast(pa.int64()).to_numpy()
    if pa.types.is_date32(dtype):
        return values.cast(pa.int32()).to_numpy().astype(np.int64) * 86_400
    if pa.types.is_date64(dtype) or pa.types.is_timestamp(dtype):
        return values.cast(pa.int64()).to_numpy() // TICKS["ms" if pa.types.is_date64(dtype) else dtype.unit]
    raise DataError(f"{where}: column {name!r} holds {dtype} instead of times; give timestamps or whole seconds since 1970")


def fractions(values: pa.ChunkedArray) -> bool:
    """Whether timestamps have parts finer than a second."""
    return pa.types.is_timestamp(values.type) and bool((values.cast(pa.int64()).to_numpy() % TICKS[values.type.unit]).any())


def step(whole: np.ndarray) -> int:
    """The longest of a day, an hour, a minute and a second of which all times are multiples."""
    return next((step for step in STEPS if not (whole % step).any()), 1)


def restore(whole: np.ndarray, missing: np.ndarray, dtype: pa.DataType, format: str | None) -> pa.Array:
    """Seconds as an Arrow array of the type (and, for text, in the format) that the column had."""
    reach = 2**63 // 10**9 if pa.types.is_timestamp(dtype) and dtype.unit == "ns" else FURTHEST
    whole = np.clip(whole, -reach, reach)
    if pa.types.is_integer(dtype):
        return pa.array(whole, pa.int64(), mask=missing).cast(dtype)
    zone = dtype.tz if pa.types.is_timestamp(dtype) else None
    times = pa.array(whole, pa.int64(), mask=missing).cast(pa.timestamp("s", zone))
    return pc.strftime(times, format=format).cast(dtype) if format else times.cast(dtype)


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
