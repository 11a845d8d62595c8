"""Spelt of text as what they say: numbers, times, truth values and missing values, in the ways people write them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ..words import listing
from .cells import padded
from .clock import formats, iso, of_day, written
from .compute import pc
from .errors import DataError
from .numerals import Numerals, decimal_mark, numerals
from .reading import Reading

BEYOND = 2.0**63  # where whole numbers do not fit int64
FEW_CELLS = 64
FIRST_CELLS = 1000  # cells by which a column of plain numbers tells its decimal mark


@dataclass(frozen=True)
class Spelt:
    """A column by its different cells: trimmed, null where a value is missing, and where each of them stands."""

    words: pa.Array
    places: pa.Array
    absent: list[str]  # the words that stood for missing values

    def spread(self, values: pa.Array) -> pa.ChunkedArray:
        """What each word is, for each row."""
        return pa.chunked_array([values.take(self.places)])


@dataclass
class _Told:
    """What was done with which columns."""

    absent: dict[str, list[str]] = field(default_factory=dict)  # by word
    dates: dict[str, str] = field(default_factory=dict)  # formats by column
    doubtful: dict[str, str] = field(default_factory=dict)  # formats that fit equally well
    numbers: dict[str, str] = field(default_factory=dict)  # an example of each column
    guessed: dict[str, str] = field(default_factory=dict)  # likewise, where another decimal mark fits as well
    padded: dict[str, str] = field(default_factory=dict)  # likewise, of whole numbers with zeros before them

    def notes(self) -> list[str]:
        """The sentences."""
        absent = listing((f"{word!r} ({listing(names, 3)})" for word, names in self.absent.items()), 5)
        dates, doubtful, numbers, guessed, padded = (
            listing(f"{name} ({how})" for name, how in each.items())
            for each in (self.dates, self.doubtful, self.numbers, self.guessed, self.padded)
        )
        sentences = {
            f"Read as missing: {absent} (fit --null names other words).": absent,
            f"Read as dates: {dates}.": dates,
            f"Warning: these may be written in two ways and stay text: {doubtful}; say which (fit --date-format).": doubtful,
            f"Read as numbers: {numbers}.": numbers,
            f"Read as text, since zeros stand before them: {padded} (fit --kind NAME=integer reads numbers).": padded,
            f"Warning: the decimal mark could be another one in {guessed}; say which (fit --decimal).": guessed,
        }
        return [sentence for sentence, said in sentences.items() if said]


def spelled(table: pa.Table, reading: Reading, sep: str = ",") -> tuple[pa.Table, list[str]]:
    """A table of text with the types that its cells tell, and what was done in sentences.

    Whole numbers become int64, or uint64 where they need it, others double, ``true`` and ``false`` bool, times dates, timestamps or times
    of day. Whole numbers with zeros before them, as postal codes have them, stay text, and so does what is none of these all the way down
    or could be a date in two ways. Cost: a pass over the cells, and more only over those that differ.

    Raises:
        DataError: no column is written in the date_format that was given.
    """
    if not table.num_rows:
        return table.cast(pa.schema([(name, pa.float64()) for name in table.column_names])), []
    told = _Told()
    columns: dict[str, Any] = {name: _plain(values) for name, values in zip(table.column_names, table.columns)}
    anew = reading.null is not None or reading.date_format is not None  # numbers may be missing values or dates
    spelt: dict[str, tuple[Spelt, Numerals]] = {}
    for name in [name for name, values in columns.items() if values is None or anew]:
        cells = distinct(table[name], reading.missing)
        for word in cells.absent:
            told.absent.setdefault(word, []).append(name)
        values = _typed(name, cells.words, reading, told)
        if isinstance(values, Numerals):
            spelt[name] = cells, values
        columns[name] = cells.spread(cells.words if isinstance(values, Numerals) else values)
    if reading.date_format and reading.date_format not in told.dates.values():
        text = [name for name, values in columns.items() if pa.types.is_string(values.type)]
        raise DataError(f"load: no column is written as {reading.date_format} (fit --date-format); {listing(text)} hold text")
    if spelt or reading.decimal == ",":
        columns |= _numbers(table, columns, spelt, reading, sep, told)
    return pa.table(columns), told.notes()


def distinct(values: pa.ChunkedArray, missing: Iterable[str]) -> Spelt:
    """The different cells of a column of text."""
    long = values.nbytes > 2**30  # 32-bit offsets end at twice that
    encoded = (values.cast(pa.large_string()) if long else values).combine_chunks().dictionary_encode()
    words = pc.utf8_trim_whitespace(encoded.dictionary)
    gaps = pc.is_in(words, value_set=pa.array(["", *missing], words.type))
    absent = [word for word in pc.unique(words.filter(gaps)).to_pylist() if word]
    return Spelt(pc.if_else(gaps, None, words), encoded.indices, absent)


def _plain(values: pa.Array | pa.ChunkedArray) -> Any:
    """Numbers as every program writes them; None if one of the cells is none, or a code of digits."""
    if values.null_count == len(values):
        return values.cast(pa.float64())
    numbers = None
    if pc.any(pc.match_substring_regex(values[:FEW_CELLS], "[xX]")).as_py():
        return None  # 0x1F is a number to Arrow
    for dtype in (pa.int64(), pa.uint64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            values[:FEW_CELLS].cast(dtype)  # a cast that fails takes its time
            numbers = values.cast(dtype)
            break
    if numbers is None:
        return None
    if not pa.types.is_floating(numbers.type):
        return None if padded(values) else numbers
    with np.errstate(invalid="ignore"):
        large = (np.abs(numbers.to_numpy(zero_copy_only=False)) >= BEYOND).any()
    return None if large and pc.all(pc.match_substring_regex(values, r"^[-+]?\d+$")).as_py() else numbers


def _typed(name: str, words: pa.Array, reading: Reading, told: _Told) -> pa.Array | Numerals:
    """The words of a column as what they are; its numerals where the decimal mark is still to be found."""
    if reading.date_format and (times := written(words, reading.date_format)) is not None:
        told.dates[name] = reading.date_format
        return times
    plain = _plain(words)
    if plain is not None:
        return plain
    if len(words) < 10 and set(pc.utf8_lower(words).to_pylist()) <= {"true", "false", None}:
        return pc.equal(pc.utf8_lower(words), "true")
    if code := padded(words):
        told.padded[name] = code
        return words
    first = words.drop_null()[:1]
    for read in (iso, of_day, numerals):
        if read(first) is not None and (values := read(words)) is not None:
            return values
    known = formats(words)
    if len(known) == 1:
        told.dates[name] = known[0]
        return written(words, known[0])
    if known:
        told.doubtful[name] = " or ".join(known)
    return words


def _numbers(
    table: pa.Table, columns: dict[str, Any], spelt: dict[str, tuple[Spelt, Numerals]], reading: Reading, sep: str, told: _Told
) -> dict[str, pa.ChunkedArray]:
    """The columns of numbers that are not plainly written; also plain ones with points where the file's decimal mark is the comma."""
    points = [name for name, values in columns.items() if name not in spelt and pa.types.is_floating(values.type)]
    beginnings = [numerals(distinct(table[name].slice(0, FIRST_CELLS), reading.missing).words) for name in points]
    votes = [found for _, found in spelt.values()] + [found for found in beginnings if found]
    mark = reading.decimal or decimal_mark(votes, sep)
    if mark == ",":
        for name, beginning in zip(points, beginnings):
            cells = distinct(table[name], reading.missing)
            if beginning and "," in beginning.marks and (found := numerals(cells.words)) and found.open and "," in found.marks:
                spelt[name] = cells, found
    guessed = not reading.decimal and all(len(vote.marks) > 1 for vote in votes)
    read = {}
    for name, (cells, found) in spelt.items():
        if reading.decimal and mark not in found.marks:
            continue  # the user knows, and it stays text
        chosen = mark if mark in found.marks else found.marks
        read[name] = cells.spread(found.values(chosen))
        (told.guessed if guessed and found.open else told.numbers)[name] = found.example(chosen)
    return read
