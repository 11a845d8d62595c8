"""The cells of one column: their values as they were read, and all that an error says of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from .compute import pc
from .errors import DataError, leaving_out, shown

EXACT = 2**53  # float64 holds every whole number up to here
UNSAFE = r"^[-+]?0*[1-9]\d{16,}$"  # a whole number that float64 may not hold
WHOLE, PADDED = r"^[-+]?\d+$", r"^[-+]?0\d+$"  # whole numbers, and those with zeros before them
MOST_DIGITS = 9  # behind the point
NUMBER = r"(?i)^\s*[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf|infinity)\s*$"


@dataclass(frozen=True)
class Cells:
    """Values of one column, where they stand, and what they are when they are taken for numbers.

    Attributes:
        values: as they were read.
        name: of the column.
        where: of the source.
        rows: the values' numbers in the source, where some were left out.
        context: whether the column is something that a model is conditioned on.
    """

    values: pa.ChunkedArray
    name: str
    where: str
    rows: np.ndarray | None = None
    context: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dtype(self) -> pa.DataType:
        """The Arrow type of the values; of a dictionary that of the dictionary."""
        return self.values.type

    @cached_property
    def plain(self) -> pa.ChunkedArray:
        """The values without a dictionary."""
        return unpacked(self.values)

    @cached_property
    def absent(self) -> np.ndarray:
        """Where a value is null, NaN or infinite: ``(N,)`` bool."""
        return absent(self.values)

    def present(self) -> Cells:
        """The cells that are not absent."""
        if not self.absent.any():
            return self
        kept = np.flatnonzero(~self.absent)
        rows = kept if self.rows is None else self.rows[kept]
        return replace(self, values=self.values.filter(pa.array(~self.absent)), rows=rows)

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers by their type, or text; times and bytes are neither."""
        dtype = self.plain.type
        return is_string(dtype) or any(test(dtype) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, is_decimal))

    @property
    def precision(self) -> np.dtype:
        """The floats that the values were read as; float64 for whatever are no floats."""
        dtype = self.plain.type
        return np.dtype(dtype.to_pandas_dtype()) if pa.types.is_floating(dtype) else np.dtype(np.float64)

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numeric or numeric-looking values as float64 ``(N,)``, null as NaN.

        Raises:
            DataError: text among them, times or bytes, or numbers that float64 can't hold.
        """
        values = self.plain
        if not self.numeric:
            raise DataError(f"{self.where}: column {self.name!r} holds {called(self.dtype)} instead of numbers; convert it")
        if is_string(values.type):
            written = pc.fill_null(pc.match_substring_regex(values, NUMBER), True)
            self.refuse(
                pc.invert(written).to_numpy(),
                "but the others are numbers; correct it, or declare the kind 'category'",
                "text in a numeric column: ",
            )
            values = pc.utf8_trim_whitespace(values)
            if pc.any(pc.match_substring_regex(values, UNSAFE)).as_py():
                raise self.beyond()
        try:
            return _quotients(values) if is_decimal(values.type) else values.cast(pa.float64()).to_numpy()
        except (pa.ArrowInvalid, OverflowError) as error:
            raise self.beyond() from error

    @cached_property
    def whole(self) -> np.ndarray | None:
        """The values as int64 ``(N,)`` if they are whole numbers, written as such or as floats; else None."""
        dtype = self.dtype
        if pa.types.is_integer(dtype) or pa.types.is_boolean(dtype):
            try:
                return self.values.cast(pa.int64()).to_numpy()
            except pa.ArrowInvalid:  # beyond 2**63
                return None
        if not (pa.types.is_floating(dtype) or is_decimal(dtype) or is_string(dtype)):
            return None
        x = self.numbers
        most = 2.0 ** (np.finfo(self.precision).nmant + 1)  # larger floats are measured, not counted
        return x.astype(np.int64) if len(x) and bool((np.abs(x) <= most).all() and (x == np.floor(x)).all()) else None

    @cached_property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct numbers in ascending order, and how often each is there."""
        return np.unique(self.numbers if self.whole is None else self.whole, return_counts=True)

    @cached_property
    def decimals(self) -> tuple[int, np.ndarray] | None:
        """Digits behind the point, and the distinct numbers as counts of the last one, int64; None if they are no such decimals."""
        x = self.distinct[0].astype(np.float64)
        most = 2.0 ** (np.finfo(self.precision).nmant - 2)  # beyond, any float is a decimal
        for digits in range(MOST_DIGITS + 1):
            counts = np.rint(x * 10.0**digits)
            if not (np.abs(counts) <= most).all():
                return None
            if ((counts / 10.0**digits).astype(self.precision) == x).all():
                return digits, counts.astype(np.int64)
        return None

    def refuse(self, bad: np.ndarray, problem: str, before: str = "") -> None:
        """Raise DataError for the first value that is bad, if any is: ``problem`` follows the value."""
        if bad.any():
            first = int(bad.argmax())
            row = first if self.rows is None else int(self.rows[first])
            raise DataError(
                f"{self.where}: {before}row {row} of column {self.name!r} (the first row is 0) is {shown(self.values[first])}, {problem}"
            )

    def beyond(self) -> DataError:
        """The error of numbers that are too long for float64."""
        return DataError(
            f"{self.where}: column {self.name!r} holds numbers beyond 2**53, which float64 can't hold; rescale it, declare it category, "
            f"or {leaving_out([self.name])}"
        )


def absent(values: pa.ChunkedArray) -> np.ndarray:
    """Where a value is null, NaN or infinite: ``(N,)`` bool."""
    values = unpacked(values)
    if pa.types.is_floating(values.type):
        return ~np.isfinite(values.to_numpy())
    return pc.is_null(values).to_numpy()


def unpacked(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a dictionary one by one; others as they are."""
    if not pa.types.is_dictionary(values.type):
        return values
    return pa.chunked_array([chunk.dictionary.take(chunk.indices) for chunk in values.chunks], values.type.value_type)


def _quotients(values: pa.ChunkedArray) -> np.ndarray:
    """The floats nearest to decimals, null as NaN: numerator and denominator are exact, and a quotient is rounded once."""
    scale = values.type.scale
    array = pa.concat_arrays(values.cast(pa.decimal128(38, scale)).chunks or [pa.array([], pa.decimal128(38, scale))])
    words = np.frombuffer(array.buffers()[1] or b"", np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    absent = array.is_null().to_numpy(zero_copy_only=False)
    low, high = words.T  # 128 bits in two's complement
    if ((high != low >> 63) | (np.abs(low) > EXACT))[~absent].any():
        raise OverflowError(f"more than {EXACT} units of the last digit")
    return np.where(absent, np.nan, low / 10.0**scale)


def padded(words: pa.Array | pa.ChunkedArray) -> str | None:
    """The first of some whole numbers, written as text, that has zeros before it: digits that are a code; None if none has."""
    found = words.filter(pc.match_substring_regex(words, PADDED))
    return found[0].as_py() if len(found) and pc.all(pc.match_substring_regex(words, WHOLE)).as_py() else None


def strings(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text, numbers and truth values as text."""
    return values.cast(pa.string())


def is_string(dtype: pa.DataType) -> bool:
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype)


def is_decimal(dtype: pa.DataType) -> bool:
    return pa.types.is_decimal(dtype)


def called(dtype: pa.DataType) -> str:
    """A type as an error calls it."""
    return "bytes (the text of a file must be UTF-8)" if pa.types.is_binary(dtype) else str(dtype)
