"""Text files of separated cells (.csv, .tsv, .txt, also .gz and .zst): decoded here, split into cells by DuckDB."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from .dialect import Dialect, dialect, squeezed
from .duck import literal, sandbox
from .errors import DataError, check_memory
from .reading import Reading
from .source import Source, check_unique
from .spelling import spelled

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
MARKS = {BOM_UTF8: "utf-8-sig", BOM_UTF32_LE: "utf-32", BOM_UTF32_BE: "utf-32", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}
BEGINNING = 2**20  # bytes by which a file is judged
UNASSIGNED = b"\x81\x8d\x8f\x90\x9d"  # bytes that are no letters in Windows-1252
LONGEST = 2**26  # bytes of a line


@dataclass(frozen=True)
class _Text:
    """A file's encoding, what it begins with, whether that is all of it, and what to say."""

    encoding: str
    plain: bool  # UTF-8, beyond doubt
    beginning: str
    whole: bool
    notes: tuple[str, ...] = ()


def read_delimited(path: Path, reading: Reading) -> Source:
    """The table in a text file.

    Raises:
        DataError: it is empty, in another encoding than was said, or larger than memory.
        ValueError: its lines have different numbers of cells.
    """
    text = _looked_at(path, reading)
    found = dialect(text.beginning, reading, ending_of(path), text.whole)
    if found is None:
        raise DataError(f"load: {path} is empty; give a file with a table in it")
    cells = None
    passed = text.beginning.splitlines()[: found.skip]
    whole = all(line.count(found.quote) % 2 == 0 for line in passed)  # DuckDB counts what is quoted as one line
    if text.plain and whole and opens_as_it_is(path) and not (found.comments or found.sep == " "):
        with suppress(ValueError):  # such as ends of lines of two kinds
            cells = _cells(path.resolve(), found, found.skip)
    if cells is None:
        with TemporaryDirectory() as folder:
            copy = Path(folder).resolve() / "table"
            _copy(path, text.encoding, copy, found)
            cells = _cells(copy, found, 0)
    if found.names is not None and not found.names[-1] and cells.column(-1).null_count == len(cells):  # each line ends in a separator
        cells = cells.select(range(found.width - 1))
    names = [name or f"x{i}" for i, name in enumerate(found.names or [""] * found.width)][: cells.num_columns]
    check_unique(path.name, names)
    table, notes = spelled(cells.rename_columns(names), reading, found.sep)
    return Source(path.name, table, found.names is not None, (*text.notes, *found.notes, *notes))


def ending_of(path: Path) -> str:
    """The ending that tells the format: that before ``.gz`` and the like."""
    return Path(path.stem if path.suffix.lower() in COMPRESSED else path.name).suffix.lower()


def opens_as_it_is(path: Path) -> bool:
    """Whether DuckDB opens this file, and no other, by its name."""
    return path.suffix.lower() not in COMPRESSED and not re.search(r"[*?\[\]\\{}]", str(path.resolve()))


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
    plain = reading.encoding is None and encoding.startswith("utf-8")
    return _Text(encoding, plain, getincrementaldecoder(encoding)("replace").decode(beginning).lstrip("\ufeff"), size <= BEGINNING, notes)


def _copy(path: Path, encoding: str, target: Path, found: Dialect) -> None:
    """The file as DuckDB takes it: decompressed, in UTF-8, lines ending in a line feed, without comments and repeated blanks."""
    quoted = False
    with stream(path) as raw, io.TextIOWrapper(raw, encoding) as text, target.open("w", encoding="utf-8", newline="") as out:
        try:
            for line in islice(text, found.skip, None):
                if found.comments and line.startswith("#") and not quoted:
                    continue
                quoted ^= line.count(found.quote) % 2 == 1
                out.write(squeezed(line) if found.sep == " " else line)
        except UnicodeDecodeError as error:
            raise DataError(f"load: {path} is not written in {encoding} ({error.reason}); say its encoding (fit --encoding)") from None


def _cells(path: Path, found: Dialect, skip: int) -> pa.Table:
    """Every cell as text, a column for each place in a line; null where there is nothing."""
    columns = ", ".join(f"'{i}': 'VARCHAR'" for i in range(found.width))
    options = {
        "delim": literal(found.sep),
        "quote": literal(found.quote),
        "escape": literal(found.escape),
        "skip": skip,
        "columns": f"{{{columns}}}",
        "max_line_size": LONGEST,
    }
    said = ", ".join(f"{name}={value}" for name, value in options.items())
    import duckdb

    with sandbox([str(path)]) as connection:
        try:
            query = f"FROM read_csv({literal(str(path))}, auto_detect=false, header=false, hive_partitioning=false, {said})"
            return connection.sql(query).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.Error as error:
            raise ValueError(_reason(str(error), found.skip - skip)) from None


def _reason(message: str, before: int) -> str:
    """What DuckDB says of a line, shortly; ``before`` is the number of lines that it does not know of."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {int(line[1]) + before:,}" if line else "the text"
    if counts := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return f"{where} has {counts[2]} cells instead of {counts[1]}"
    if "unterminated quote" in message or "invalid state" in message:
        return f"{where} has a quote that does not end"
    return f"{where}: {message}"
