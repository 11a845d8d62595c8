"""One column of a table: what is known of it, and how its values become numbers and come back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..words import nearest
from . import times
from .errors import DataError, leaving_out, shown

KINDS = ("real", "integer", "positive", "interval", "text", "time", "constant")
EXACT = 2**53  # float64 holds every whole number up to here
NUMBER = r"(?i)^\s*[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf|infinity)\s*$"


@dataclass(frozen=True)
class Column:
    """One column: its kind, what its values may be, and statistics of the train split.

    Kinds: ``real`` (any number), ``integer`` (whole numbers, dequantized), ``positive`` (modelled in logarithms), ``interval``
    (between ``low`` and ``high``, modelled through a logit), ``time`` (whole seconds since 1970, or whole minutes, hours or days:
    ``step`` seconds at a time), ``text`` (codes of a ``vocabulary``; as context only), ``constant`` (one value; as context only).

    Attributes:
        name: the column's name.
        kind: one of the above.
        dtype: the Arrow type that decoded values have.
        low, high: the open interval's ends.
        levels: values are 0..levels-1 and nothing else; None for an open-ended column.
        vocabulary: the values of a text column, sorted; a value's code is its place.
        step: seconds per count of a time column.
        format: how times are written, where the column holds them as text.
        mean, std: of the train split after the column's transformation (what Standardize uses).
        scale: the standard deviation of the train split in data units.
        minimum, maximum: of the train split, in data units (codes for text, counts for time).
        distinct: the number of distinct values in the train split.
    """

    name: str
    kind: str = "real"
    dtype: str = "double"
    low: float | None = None
    high: float | None = None
    levels: int | None = None
    vocabulary: tuple[str, ...] | None = None
    step: int = 1
    format: str | None = None
    mean: float = 0.0
    std: float = 1.0
    scale: float = 1.0
    minimum: float = 0.0
    maximum: float = 0.0
    distinct: int = 0

    @property
    def discrete(self) -> bool:
        """Whole numbers, which have probabilities instead of densities."""
        return self.kind in ("integer", "time")


def check(column: Column) -> None:
    """Raise DataError if a column, as somebody described it, can't be one."""
    numbers = [column.mean, column.std, column.scale, column.minimum, column.maximum, column.low or 0.0, column.high or 0.0]
    if column.kind not in KINDS:
        raise DataError(f"column {column.name!r}: expected a kind among {', '.join(KINDS)}, got {column.kind!r}")
    if not all(map(math.isfinite, numbers)) or column.std <= 0 or column.scale < 0 or column.distinct < 0:
        raise DataError(f"column {column.name!r}: expected finite statistics and a positive standard deviation")
    if not 1 <= column.step <= EXACT or not 1 <= (column.levels or 1) <= EXACT:
        raise DataError(f"column {column.name!r}: expected a step and levels of at least 1, got {column.step} and {column.levels}")
    if column.kind == "interval" and (column.low is None or column.high is None or not column.low < column.high):
        raise DataError(f"column {column.name!r}: expected an interval's ends, got {column.low} and {column.high}")
    if column.kind == "text" and not column.vocabulary:
        raise DataError(f"column {column.name!r}: expected the values of a text column")
    try:
        arrow_type(column.dtype).to_pandas_dtype()
    except (ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"column {column.name!r}: there is no type {column.dtype!r}") from error


def absent(values: pa.ChunkedArray) -> np.ndarray:
    """Where a value is null, NaN or infinite: ``(N,)`` bool."""
    if pa.types.is_floating(values.type):
        return ~np.isfinite(values.to_numpy())
    return pc.is_null(values).to_numpy()


def encode(values: pa.ChunkedArray, column: Column, where: str, rows: np.ndarray | None = None) -> np.ndarray:
    """The column's values as float64 ``(N,)``: numbers, counts of time or codes of text.

    Raises:
        DataError: a value is not what the column holds; ``where`` and ``rows`` (numbers of the rows in the source) name it.
    """

    def refuse(bad: np.ndarray, problem: str) -> None:
        if bad.any():
            first = int(bad.argmax())
            row = first if rows is None else int(rows[first])
            raise DataError(f"{where}: row {row} of column {column.name!r} (the first row is 0) is {shown(values[first])}, {problem}")

    if column.kind == "text":
        codes = pc.index_in(strings(values), value_set=pa.array(column.vocabulary, pa.string())).to_numpy()
        unseen = np.isnan(codes.astype(np.float64)) if codes.dtype.kind == "f" else np.zeros(len(codes), bool)
        if unseen.any():
            close = nearest(str(values[int(unseen.argmax())].as_py()), column.vocabulary or ())
            refuse(unseen, f"a value that was not there in training{close or '; use one of those that were'}")
        return codes.astype(np.float64)
    if column.kind == "time":
        whole = times.seconds(values, column.format, column.name, where)
        refuse(whole % column.step != 0, f"but this column counts in steps of {column.step:,} seconds; round the times to that")
        return (whole // column.step).astype(np.float64)
    x = numbers(values, column.name, where, rows)
    refuse(~np.isfinite(x), "which is not a finite number; drop such rows")
    if column.kind == "integer":
        refuse(x != np.floor(x), "but this column holds whole numbers; declare its kind 'real' to model fractions")
        refuse(
            np.abs(x) > EXACT,
            f"a whole number beyond 2**53, which float64 can't hold; declare it real, shift it, or {leaving_out([column.name])}",
        )
        if column.levels is not None:
            refuse((x < 0) | (x >= column.levels), f"outside the levels 0..{column.levels - 1} of this column")
    elif column.kind == "positive":
        refuse(x <= 0, "but this column was declared positive; drop the row or declare the kind 'real'")
    elif column.kind == "interval":
        assert column.low is not None and column.high is not None
        outside = (x <= column.low) | (x >= column.high)
        refuse(
            outside, f"not inside the declared interval ({column.low:g}, {column.high:g}); drop the row or declare interval:LOW:HIGH wider"
        )
    return x


def decode(x: np.ndarray, column: Column) -> pa.Array:
    """Numbers ``(N,)`` as an Arrow array of the column's own type: integers rounded and kept within the type, times as times."""
    dtype = arrow_type(column.dtype)
    if column.kind == "text":
        words = pa.array(column.vocabulary, pa.string()).take(pa.array(x.astype(np.int64)))
        return words.cast(dtype)
    missing = ~np.isfinite(x)
    x = np.where(missing, 0.0, x)
    if column.kind == "time":
        reach = times.FURTHEST / column.step
        return times.restore(np.clip(np.round(x), -reach, reach).astype(np.int64) * column.step, missing, dtype, column.format)
    if column.kind == "integer":
        x = np.round(x)
    if pa.types.is_boolean(dtype):
        return pa.array(x > 0.5, mask=missing)
    native = np.dtype(dtype.to_pandas_dtype())
    limits = np.iinfo(native) if native.kind in "iu" else np.finfo(native)
    if native.kind in "iu":
        x = np.clip(x, max(limits.min, -EXACT), min(limits.max, EXACT))
    return pa.array(np.clip(x, limits.min, limits.max).astype(native), dtype, mask=missing)


def numbers(values: pa.ChunkedArray, name: str, where: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Numeric or numeric-looking values as float64, null as NaN; text among them is an error that names the first."""
    if is_string(values.type):
        bad = pc.invert(pc.fill_null(pc.match_substring_regex(values, NUMBER), True)).to_numpy()
        if bad.any():
            first = int(bad.argmax())
            row = first if rows is None else int(rows[first])
            raise DataError(
                f"{where}: text in a numeric column: row {row} of column {name!r} (the first row is 0) is {shown(values[first])}; "
                "correct it, or declare the kind 'text' and use the column as context"
            )
        values = pc.utf8_trim_whitespace(values)
    elif not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise DataError(f"{where}: column {name!r} holds {called(values.type)} instead of numbers; convert it")
    try:
        return values.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{where}: column {name!r} holds whole numbers beyond 2**53, which float64 can't hold; rescale it, or {leaving_out([name])}"
        ) from error


def strings(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text, whole numbers and truth values as text."""
    return values.cast(pa.string())


def is_string(dtype: pa.DataType) -> bool:
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype)


def called(dtype: pa.DataType) -> str:
    """A type as an error calls it."""
    return "bytes (the text of a file must be UTF-8)" if pa.types.is_binary(dtype) else str(dtype)


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of that name; the reverse of ``str``."""
    if name.startswith("timestamp["):
        unit, _, zone = name.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
        return pa.timestamp(unit, zone or None)
    return pa.type_for_alias(name.partition("[")[0])
