"""What a conditional run is to be sampled at, as rows of its context: read as people write it, and written as the data had it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from numbers import Integral
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..shell import joined
from ..words import listing, printable
from .column import Column
from .errors import DataError
from .kinds import Constant, Integer, Time
from .restore import arrow_type
from .schema import Schema
from .times import EPOCHS, LENGTHS
from .whole_schema import WholeSchema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRUTH = {"true": True, "yes": True, "t": True, "y": True, "1": True, "false": False, "no": False, "f": False, "n": False, "0": False}


def context_rows(schema: Schema | WholeSchema, context: Any) -> torch.Tensor | None:
    """The context's rows as numbers ``(C, K)``.

    In a mapping values may be text in the spellings that people use: ``2021-03-04``, ``2021-03-04T10:00:00Z`` or ``yes``.

    Raises:
        ValueError: a context is missing or superfluous, or a value is not what its column holds.
    """
    names = [column.name for column in schema.context]
    if isinstance(context, list | tuple) and all(isinstance(row, Mapping) for row in context):
        context = pa.Table.from_pylist([dict(row) for row in context]) if context else None
    given = context is not None and not (isinstance(context, Mapping | str) and not context)
    if not names:
        if given:
            raise ValueError("sample: this run was fitted without context; leave it out")
        return None
    if not given:
        raise ValueError(
            f"sample: this run needs a context for {_described(schema)}; give one, as {' '.join(assignments(schema.context[:1]))}"
        )
    if isinstance(context, Mapping):
        unknown = [name for name in context if name not in names]
        absent = [name for name in names if name not in context]
        if unknown or absent:
            raise ValueError(f"sample: expected a context for {_described(schema)}, got {listing(map(str, context))}; give just these")
        lists = {name: np.atleast_1d(np.asarray(value, dtype=object)).tolist() for name, value in context.items()}
        rows = max(map(len, lists.values()))
        if any(len(values) not in (1, rows) for values in lists.values()):
            lengths = ", ".join(f"{printable(name)} {len(values)}" for name, values in lists.items())
            raise ValueError(f"sample: the context's columns have different lengths ({lengths}); give one value or equally many for each")
        context = pa.table({c.name: _values(c, lists[c.name] * (1 if len(lists[c.name]) == rows else rows)) for c in schema.context})
    return Schema(schema.context).encode(context)[0]


def example(column: Column) -> bool | int | float | str:
    """A value of the column, such as :func:`context_rows` takes: its smallest in training, in the units and the spelling of the data."""
    value = column.kind.decode(np.array([column.minimum]))[0].as_py()
    if isinstance(column.kind, Constant) and not isinstance(value, int | float):
        return column.kind.shown(0.0)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bool | str) or column.vocabulary:
        return value if isinstance(value, bool | str) else str(value)
    if isinstance(column.kind, Integer | Time):
        return int(value)
    if isinstance(column.kind, Constant):
        return value
    if column.discrete:
        return float(column.kind.shown(column.minimum))
    short = float(f"{value:.6g}")
    ends = column.kind.support()
    inside = (ends.low is None or ends.low < short) and (ends.high is None or short < ends.high)
    return short if inside else float(value)


def assignments(columns: list[Column]) -> list[str]:
    """``NAME=VALUE`` for each column, with an :func:`example`, as ``sample --context`` takes it."""
    values = {column.name: example(column) for column in columns}
    return [f"{name}={joined([str(value).lower() if isinstance(value, bool) else str(value)])}" for name, value in values.items()]


def _values(column: Column, values: list[Any]) -> pa.Array:
    try:
        if isinstance(column.kind, Time):
            return _times(column, column.kind, values)
        return pa.array([_value(column, value) for value in values])
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"sample: the values of {column.name!r} are not of one type; give all as {assignments([column])[0]}") from error


def _value(column: Column, value: Any) -> Any:
    """A value of the context as :meth:`Schema.encode` takes it."""
    if not isinstance(value, str):
        return value
    bare = value.strip()
    if column.dtype == "bool":
        known = TRUTH.get(bare.lower())
        if known is None:
            raise DataError(f"sample: {column.name!r} is true or false, got {printable(value)!r}; write one of {', '.join(TRUTH)}")
        return known
    if column.vocabulary:
        return value if value in column.vocabulary or bare not in column.vocabulary else bare
    if isinstance(column.kind, Constant):
        return value
    try:
        number = int(bare) if re.fullmatch(r"[-+]?\d+", bare) else float(bare)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"sample: {column.name!r} is a number, got {printable(value)!r}; give one, as {assignments([column])[0]}")
    return number


def _times(column: Column, kind: Time, values: list[Any]) -> pa.Array:
    """Dates and times, written or not, as the column holds them; points without a zone are in that of the column, else in UTC."""
    dtype = arrow_type(column.dtype)
    read = [_time(column, kind, dtype, value) for value in values]
    if kind.clock or kind.span:
        return pa.array(read, dtype)
    return pa.array(read, pa.int64()).cast(pa.timestamp("us") if _typed(kind) else pa.int64())


def _typed(kind: Time) -> bool:
    """Whether a column holds times as such or as text, and no whole numbers."""
    return kind.written is None or "%" in kind.written


def _time(column: Column, kind: Time, dtype: pa.DataType, value: Any) -> Any:
    """A duration or a time of day as such; a point in time in microseconds since 1970, or as the whole numbers of the column."""
    per = LENGTHS["s"] // LENGTHS[kind.written if kind.written in EPOCHS else "us"]
    if isinstance(value, str):
        bare = value.strip()
        if not _typed(kind) and re.fullmatch(r"[-+]?\d+", bare):
            return int(bare)
        try:
            if kind.span:
                return timedelta(seconds=float(bare))
            value = time.fromisoformat(bare) if kind.clock else datetime.fromisoformat(bare)
        except ValueError:
            spelling = "5400, in seconds" if kind.span else "10:30:00" if kind.clock else "2021-03-04 or 2021-03-04T10:00:00Z"
            raise DataError(
                f"sample: {column.name!r} is a time, got {printable(value)!r}; write one as {spelling}, as {assignments([column])[0]}"
            ) from None
    if kind.span and not isinstance(value, timedelta):
        return timedelta(seconds=float(value))
    if not isinstance(value, date):
        return value * per if _typed(kind) and isinstance(value, Integral) else value
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    if kind.written == "yyyymmdd":
        return moment.year * 10_000 + moment.month * 100 + moment.day
    if moment.tzinfo is None:
        zone = dtype.tz if pa.types.is_timestamp(dtype) else None
        moment = moment.replace(tzinfo=pa.lib.string_to_tzinfo(zone) if zone else UTC)
    return (moment - EPOCH) // timedelta(microseconds=1) * per // 10**6


def _described(schema: Schema | WholeSchema) -> str:
    parts = []
    for column in schema.context:
        words = column.vocabulary
        parts.append(printable(column.name) + (f" ({listing(words)})" if words else f" ({column.kind.words()})"))
    return " and ".join(parts)
