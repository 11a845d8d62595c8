"""What kind of column it is: from its values, or as the user declares it."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..words import listing, nearest
from . import times
from .column import EXACT, KINDS, NUMBER, Column, called, is_string, numbers, strings
from .errors import DataError, leaving_out


def infer(
    name: str, values: pa.ChunkedArray, declared: str | None, where: str, rows: np.ndarray | None = None, context: bool = False
) -> Column:
    """The column that these values (none of them missing) make, or that ``declared`` says.

    Text without a declared kind is text in a context, and in data must be times or numbers.

    ``declared`` is a kind, or ``interval:LOW:HIGH``. A plain ``interval`` means (0, 1) and needs the data inside it.

    Raises:
        DataError: the kind is unknown or does not fit the values.
    """
    kind, low, high = parse(declared, name, where) if declared else (None, None, None)
    dtype = values.type
    if pa.types.is_temporal(dtype):
        if not (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)):
            raise DataError(f"{where}: column {name!r} holds {dtype}, which is no point in time; convert it to a number, as of seconds")
        if kind not in (None, "time"):
            raise DataError(f"{where}: column {name!r} holds {dtype}, which can't be of the kind {kind!r}; declare 'time'")
        return _time(name, values, None, where)
    if is_string(dtype) and kind in (None, "time"):
        format = times.time_format(values)
        if format is not None:
            return _time(name, values, format, where)
        if kind == "time":
            raise DataError(
                f"{where}: column {name!r} is not written as a time ({' or '.join(times.FORMATS[:3])}); convert it to a timestamp"
            )
    if kind == "text" or (is_string(dtype) and kind is None and context):
        if pa.types.is_floating(dtype):
            raise DataError(
                f"{where}: column {name!r} holds {dtype}, which can't be of the kind 'text'; convert it to whole numbers or text"
            )
        return _text(name, values)
    if not (is_string(dtype) or pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_boolean(dtype)):
        raise DataError(f"{where}: column {name!r} holds {called(dtype)}, which is neither number nor time nor text; {leaving_out([name])}")
    if kind == "time":
        if not pa.types.is_integer(dtype):
            raise DataError(f"{where}: column {name!r} holds {dtype}; for the kind 'time' give timestamps or whole seconds since 1970")
        return _time(name, values, None, where)
    return _number(name, values, kind, low, high, where, rows)


def parse(declared: str, name: str, where: str) -> tuple[str, float | None, float | None]:
    """``interval:0:5`` as ``("interval", 0.0, 5.0)``; a plain kind without ends."""
    kind, *ends = declared.split(":")
    if kind not in KINDS[:-1]:
        raise DataError(
            f"{where}: unknown kind {kind!r} for column {name!r}{nearest(kind, KINDS[:-1])}; the kinds are {listing(KINDS[:-1])}"
        )
    if not ends:
        return (kind, 0.0, 1.0) if kind == "interval" else (kind, None, None)
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        low = high = math.nan
    if kind != "interval" or not -math.inf < low < high < math.inf:
        raise DataError(
            f"{where}: can't read the kind {declared!r} of column {name!r}; write interval:LOW:HIGH with LOW below HIGH, as interval:0:100"
        )
    return kind, low, high


def is_data(values: pa.ChunkedArray, declared: str | None) -> bool:
    """Whether a column that nobody chose is data: numbers, times, or text most of which is written as numbers; not all null."""
    dtype = values.type
    if declared is not None or values.null_count == len(values):
        return declared not in (None, "text")
    if is_string(dtype):
        values = values.drop_null()
        return (
            times.time_format(values) is not None
            or (pc.mean(pc.match_substring_regex(values, NUMBER).cast(pa.float64())).as_py() or 0) > 0.5
        )
    time = pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)
    return time or pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_boolean(dtype)


def _number(
    name: str, values: pa.ChunkedArray, kind: str | None, low: float | None, high: float | None, where: str, rows: np.ndarray | None
) -> Column:
    x = numbers(values, name, where, rows)
    dtype = "double" if is_string(values.type) else str(values.type)
    if kind is None:
        counts = np.abs(x).max() <= EXACT or not pa.types.is_floating(values.type)  # larger floats are measured, not counted
        whole, same = counts and (x == np.floor(x)).all(), (x == x[0]).all()
        kind = "integer" if whole else "constant" if same else "real"
    if kind != "integer" and not pa.types.is_floating(values.type):
        dtype = "double"
    levels = 2 if pa.types.is_boolean(values.type) and kind == "integer" else None
    return Column(name, kind, dtype, low, high, levels)


def _text(name: str, values: pa.ChunkedArray) -> Column:
    words = sorted(pc.unique(strings(values)).to_pylist())
    return Column(name, "text", str(values.type), vocabulary=tuple(words))


def _time(name: str, values: pa.ChunkedArray, format: str | None, where: str) -> Column:
    step = times.step(times.seconds(values, format, name, where))
    return Column(name, "time", str(values.type), step=step, format=format)
