"""Text files of separated cells (.csv, .tsv, .txt, .data, also compressed): how each is written is found out, and its cells are read."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ..words import printable
from .dialect import Dialect, dialect, squeezed
from .errors import DataError, check_memory
from .reading import Reading
from .source import Source, check_unique
from .spelling import spelled

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
MARKS = {BOM_UTF8: "utf-8-sig", BOM_UTF32_LE: "utf-32", BOM_UTF32_BE: "utf-32", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}
BEGINNING = 2**20  # bytes by which a file is judged, and which a line rarely exceeds
UNASSIGNED = b"\x81\x8d\x8f\x90\x9d"  # bytes that are no letters in Windows-1252


@dataclass(frozen=True)
class _Text:
    """A file's encoding, its bytes once decompressed, what it begins with, and what to say."""

    encoding: str
    size: int
    beginning: str
    notes: tuple[str, ...]


def read_delimited(path: Path, reading: Reading) -> Source:
    """The table in a text file.

    Raises:
        DataError: it is empty, in another encoding than was said, or larger than memory.
        ValueError: its lines have different numbers of cells.
    """
    text = _looked_at(path, reading)
    found = dialect(text.beginning, reading, ending_of(path), text.size <= BEGINNING)
    if found is None:
        what = "begins with a cell of more than 128 KiB, or with comments only" if text.beginning.strip() else "is empty"
        raise DataError(f"load: {path} {what}; give a file with a table in it")
    cells = _cells(path, text, found)
    if found.names is not None and not found.names[-1] and cells.column(-1).null_count == len(cells):  # each line ends in a separator
        cells = cells.select(range(found.width - 1))
    names = [name or f"x{i}" for i, name in enumerate(found.names or [""] * found.width)][: cells.num_columns]
    check_unique(path.name, names)
    table, notes = spelled(cells.rename_columns(names), reading, found.sep)
    return Source(path.name, table, found.names is not None, (*text.notes, *found.notes, *notes))


def ending_of(path: Path) -> str:
    """The ending that tells the format: that before ``.gz`` and the like."""
    return Path(path.stem if path.suffix.lower() in COMPRESSED else path.name).suffix.lower()


def stream(path: Path) -> pa.NativeFile:
    """The bytes of a file, decompressed as its ending says."""
    return pa.input_stream(str(path), compression=COMPRESSED.get(path.suffix.lower()))


def _looked_at(path: Path, reading: Reading) -> _Text:
    """The whole file is decoded once: a letter of another encoding may stand anywhere."""
    size, flaw, unassigned = 0, None, False
    decoder = getincrementaldecoder("utf-8")()
    with stream(path) as file:
        beginning = chunk = file.read(BEGINNING)
        encoding = reading.encoding or next((name for mark, name in MARKS.items() if beginning.startswith(mark)), None)
        while chunk:
            if encoding in (None, "utf-8-sig") and b"\0" in chunk:
                remedy = "say its encoding (fit --encoding utf-16-le), or write it as UTF-8"
                raise DataError(f"load: {path} holds NUL bytes, as UTF-16 has; {remedy}")
            if encoding is None and flaw is None:
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    flaw = size + error.start
            unassigned = unassigned or any(byte in chunk for byte in UNASSIGNED)
            size += len(chunk)
            check_memory(f"load: {path}", size, "read a part of it")
            chunk = file.read(BEGINNING)
    notes: tuple[str, ...] = ()
    if encoding is None:
        encoding = "utf-8" if flaw is None else "latin-1" if unassigned else "cp1252"
        if flaw is not None:
            called = "Latin-1" if unassigned else "Windows-1252"
            notes = (f"The text is no UTF-8 (byte {flaw:,}) and was read as {called} (fit --encoding names another).",)
    return _Text(encoding, size, getincrementaldecoder(encoding)("replace").decode(beginning).lstrip("\ufeff"), notes)


def _cells(path: Path, text: _Text, found: Dialect) -> pa.Table:
    """Every cell as text, a column for each place in a line; null where there is nothing."""
    names = [str(i) for i in range(found.width)]
    doubled = found.quote == found.escape
    parse = pyarrow.csv.ParseOptions(
        delimiter=found.sep,
        quote_char=found.quote,
        double_quote=doubled,
        escape_char=False if doubled else found.escape,
        newlines_in_values=True,
    )
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
    )
    for last in (False, True):  # the second time a line may be as long as the file, and one thread knows which line is wrong
        block = min(max(text.size, BEGINNING), 2**31 - 1) if last else BEGINNING
        try:
            with _opened(path, text.encoding, found) as (file, encoding, skip):
                read = pyarrow.csv.ReadOptions(
                    column_names=names, skip_rows=skip, encoding=encoding, block_size=block, use_threads=not last
                )
                return pyarrow.csv.read_csv(file, read, parse, convert)
        except UnicodeDecodeError as error:
            flaw = error.reason
        except pa.ArrowInvalid as error:
            if last and "UTF8" not in str(error):
                raise ValueError(_reason(str(error))) from None
            flaw = str(error)
    raise DataError(f"load: {path} is not written in {text.encoding} ({flaw}); say its encoding (fit --encoding)")


@contextmanager
def _opened(path: Path, encoding: str, found: Dialect) -> Iterator[tuple[Any, str, int]]:
    """The text, its encoding and the lines to skip; a copy without comments and repeated blanks where there are such."""
    with stream(path) as file:
        if not (found.comments or found.sep == " "):
            yield file, "utf8" if encoding.startswith("utf-8") else encoding, found.skip
            return
        with io.TextIOWrapper(file, encoding) as lines, TemporaryFile() as copy:
            quoted = False
            for number, line in enumerate(lines):
                if number < found.skip or (found.comments and line.startswith("#") and not quoted):
                    continue
                quoted ^= line.count(found.quote) % 2 == 1
                copy.write((squeezed(line) if found.sep == " " else line).encode())
            copy.seek(0)
            yield copy, "utf8", 0


def _reason(message: str) -> str:
    """What is wrong with which line, counting those that quotes hold together as one."""
    if found := re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): ?(.*)", message, re.DOTALL):
        line, expected, got, words = found.groups()
        return f"{f'line {int(line):,}' if line else 'a line'} has {got} cells instead of {expected}: {printable(words)!r}"
    return message
