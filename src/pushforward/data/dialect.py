"""What the beginning of a text file tells of it: what separates and quotes cells, where the rows begin, how the columns are called."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise

from ..words import printable
from .reading import Reading

LINES = 1000  # that are looked at
RECORDS = 200
CANDIDATES = "\t;|, "  # the likelier ones first where several fit: numbers with decimal commas are separated by something else
QUOTES = {('"', '"'): "", ('"', "\\"): r'\\"', ("'", "'"): r"(?m)(^|[,;\t| ])'[^'\n]*'\r?($|[,;\t| ])"}
# a quote and what stands before a quote within a cell (a quote, a backslash), and what there must be in the text for them to be tried
NUMERIC = re.compile(r"(?i)[-+(]?\s*[$€£¥₹]?\s*[-+]?[\d.,]*\d[\d.,'\s]*(e[-+]?\d+)?\s*[%$€£¥₹]?\)?")
VALUE = re.compile(rf"{NUMERIC.pattern}|true|false|\d+[-/.:]\d+[-/.:\d\sTZ+apm]*")  # a number, truth value, date or time of day

Placed = tuple[int, int, list[str]]  # the lines before it, those up to its end, and its cells


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes:
        sep, quote, escape: characters; ``escape`` stands before a quote within a cell.
        width: the number of columns.
        skip: lines before the first row, the header's included.
        names: of the columns, where there is a header; an empty one for a column that has none.
        comments: whether lines among the rows that begin with ``#`` are none of them.
        notes: what was passed over, in sentences.
    """

    sep: str
    quote: str
    escape: str
    width: int
    skip: int
    names: list[str] | None
    comments: bool
    notes: tuple[str, ...]


def dialect(text: str, reading: Reading, ending: str, whole: bool) -> Dialect | None:
    """The dialect of a file that begins with ``text``, which may be all of it (``whole``); None if there are no cells in it.

    Of the separators that split most lines into equally many cells the first of ``CANDIDATES`` is taken. The first line is a header
    unless it has a value (a number, a date) wherever the rest of a column has nothing else.
    """
    lines = list(islice(io.StringIO(text, newline=""), LINES))
    whole = whole and len(lines) < LINES
    skip, sep = reading.skip or 0, reading.separator
    if skip < len(lines) and (said := re.fullmatch(r"sep=(.)\s*", lines[skip])):  # as Excel writes and reads it
        skip, sep = skip + 1, sep or said[1]
    lines[:skip] = ["\n"] * min(skip, len(lines))
    plain = ["\n" if line.startswith("#") else line for line in lines]
    if not any(line.strip() for line in plain):
        return None
    beginning = "".join(lines)
    quotes = [quoting for quoting, sign in QUOTES.items() if re.search(sign, beginning)]
    tried = []
    for candidate in sep or ("\t" if ending == ".tsv" else CANDIDATES):
        for quote, escape in quotes:
            records = _records(plain, candidate, quote, escape, whole)
            tried.append((_score(records, sep or candidate, sep is None), candidate, quote, escape, records))
        if tried[-len(quotes)][0] == 1:
            break
    score, sep, quote, escape, records = max(tried, key=lambda one: one[0])
    if not score:
        return None
    width = _width(records)[0]
    hashed = {i: _records([line[1:]], sep, quote, escape, True) for i, line in enumerate(lines) if line.startswith("#")}
    among = any(i > records[0][0] for i in hashed)
    fitting = width > 1 and all(split and len(split[0][2]) == width for split in hashed.values())
    valued = any(VALUE.fullmatch(cell) for split in hashed.values() for _, _, cells in split for cell in cells)
    if fitting and (among or valued):  # rows, such as of colours
        records, hashed = _records(lines, sep, quote, escape, whole), {}
    first, names, notes = _header(records, width, sep, reading)
    start = records[first][0] if first < len(records) else records[-1][1]
    above = [split[0][2] for i, split in hashed.items() if split and i < records[0][0]]
    if names is None and above and len(above[-1]) == width > 1 and not any(map(VALUE.fullmatch, above[-1])):
        names = above.pop()  # such as "#chrom start end"
    comments = among and bool(hashed)
    if comments or above:
        notes.append("Lines that begin with # were passed over.")
    return Dialect(sep, quote, escape, width, start, names, comments, tuple(notes))


def squeezed(line: str) -> str:
    """A line whose cells are separated by any number of blanks, with one blank each."""
    return re.sub(" +", " ", line.strip(" \r\n")) + "\n"


def _records(lines: Iterable[str], sep: str, quote: str, escape: str, whole: bool) -> list[Placed]:
    """The first records that are not empty; the last is left out where the text may end within it."""
    doubled = quote == escape
    lines = map(squeezed, lines) if sep == " " else lines
    reader = csv.reader(lines, delimiter=sep, quotechar=quote, doublequote=doubled, escapechar=None if doubled else escape)
    found, start = [], 0
    with suppress(csv.Error):  # a cell of more than 128 KiB
        for cells in reader:
            if any(map(str.strip, cells)) or len(cells) > 1:
                found.append((start, reader.line_num, [cell.strip() for cell in cells]))
            start = reader.line_num
            if len(found) > RECORDS:
                return found
    return found if whole else found[:-1]


def _width(records: list[Placed]) -> tuple[int, int]:
    """The commonest number of cells, and in how many records."""
    return Counter(len(cells) for *_, cells in records).most_common(1)[0]


def _score(records: list[Placed], sep: str, guessed: bool) -> float:
    """The share of records of equally many cells; half of it for one cell, nothing where blanks part words and commas one number."""
    if not records:
        return 0.0
    width, count = _width(records)
    share = count / len(records)
    if width == 1 or not guessed or sep not in " ,":
        return share / 2 if width == 1 else share
    rows = [cells for *_, cells in records[1:] or records]
    if sep == ",":  # a name above 1,5 and 2,5
        return 0.0 if len(records[0][2]) == 1 and width == 2 and all(cell.isdigit() for cells in rows for cell in cells) else share
    numbers = sum(bool(NUMERIC.fullmatch(cell)) for cells in rows for cell in cells)
    return share if all(len(cells) == width for cells in rows) and 2 * numbers > width * len(rows) else 0.0


def _header(records: list[Placed], width: int, sep: str, reading: Reading) -> tuple[int, list[str] | None, list[str]]:
    """The place of the first row among the records, the names above it, and notes."""
    first = next(i for i, (*_, cells) in enumerate(records) if len(cells) == width)
    above = [cells for *_, cells in records[:first]]
    rows = [cells for *_, cells in records[first:] if len(cells) == width]
    headed = _is_header(rows[0], rows[1:], reading.missing)
    if first == 1 and len(above[0]) == width - 1 and not headed and not any(map(VALUE.fullmatch, above[0])):
        if not any(cells[-1] for *_, cells in records[1:]):  # all rows end in a separator
            return 1, [*above[0], ""], []
        return 1, ["row", *above[0]], ["The header lacks a name for the first column, the rows' labels as R writes them: it is called row."]
    passed = " / ".join(printable(sep.join(cells), 40) for cells in above[:3])
    notes = [f"Passed over before the table: {passed}{' ...' if len(above) > 3 else ''}."] if above else []
    return (first + 1, rows[0], notes) if headed else (first, None, notes)


def _is_header(head: list[str], rows: list[list[str]], missing: tuple[str, ...]) -> bool:
    if not rows:
        return not any(map(VALUE.fullmatch, head))
    told = []  # of columns of nothing but values, whether the first line has one too
    for i, cell in enumerate(head):
        below = [row[i] for row in rows if row[i] and row[i] not in missing]
        if cell and cell not in missing and below and all(map(VALUE.fullmatch, below)):
            told.append(bool(VALUE.fullmatch(cell)))
    return not told or not all(told) or (_counts(head) and not any(map(_counts, rows)))


def _counts(cells: list[str]) -> bool:
    """Whether numbers that are names stand there: 0, 1, 2, ... as pandas writes them, or years one after the other."""
    whole = [int(cell) for cell in cells if re.fullmatch(r"\d{1,4}", cell)]
    return len(whole) > 2 and (whole[0] == 0 or 1800 <= whole[0] < 2100) and all(b - a == 1 for a, b in pairwise(whole))
