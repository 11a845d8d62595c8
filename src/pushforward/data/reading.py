"""How text is read as a table, where that can't be guessed."""

from __future__ import annotations

import codecs
import encodings.aliases
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..documents import validated
from ..words import listing, nearest
from .errors import DataError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "blank": " ", "colon": ":"}
MISSING = ("?", "-", "--", ".", "NA", "<NA>", "N/A", "n/a", "#N/A", "NaN", "nan", "NaT", "None", "NULL", "null")
DIRECTIVES = "YmdHMSIpbByjT"  # of a date format, after a percent sign


@dataclass(frozen=True)
class Reading:
    """How the text of a file is read (.csv, .tsv and the like, .jsonl); what is None is found out from the file.

    Attributes:
        sep: what separates cells, a character or a word: comma, semicolon, tab, pipe, blank, colon.
        decimal: the decimal mark, "." or ",".
        encoding: of the text, such as "cp1252" or "utf-16-le".
        null: the words that stand for a missing value, in place of the usual ones (``?``, ``-``, ``.``, ``NA``, ``None``, ``null`` and
            the like); an empty cell always does.
        date_format: how dates are written, such as "%d/%m/%Y"; columns that are not written so stay what they are.
        skip: lines before the table.

    Raises:
        DataError: one of them can't be; the nearest that can is named.

    Example::

        >>> Reading(sep="semicolon", decimal=",").separator
        ';'
    """

    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    null: tuple[str, ...] | None = None
    date_format: str | None = None
    skip: int | None = None

    def __post_init__(self) -> None:
        character = self.separator
        if self.sep is not None and (not character or len(character) > 1 or character in "\"'\n\r\0"):
            hint = nearest(self.sep, SEPARATORS) or f"; use one character or one of {listing(SEPARATORS)}"
            raise DataError(f"load: sep (fit --sep) can't be {self.sep!r}{hint}")
        if self.decimal not in (None, ".", ","):
            raise DataError(f"load: decimal (fit --decimal) must be '.' or ',', got {self.decimal!r}")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.null is not None and (isinstance(self.null, str) or not all(isinstance(word, str) for word in self.null)):
            raise DataError(f"load: null (fit --null) must be words, got {self.null!r}; give each by itself")
        if self.date_format is not None and not re.fullmatch(rf"([^%]*%[{DIRECTIVES}])+[^%]*", self.date_format):
            raise DataError(
                f"load: can't read the date_format (fit --date-format) {self.date_format!r}; write it as %d/%m/%Y or %Y-%m-%d %H:%M"
            )
        if self.skip is not None and (isinstance(self.skip, bool) or not isinstance(self.skip, int) or self.skip < 0):
            raise DataError(f"load: skip (fit --skip) must be a number of lines, got {self.skip!r}")

    @property
    def separator(self) -> str | None:
        """The character that separates cells."""
        return None if self.sep is None else SEPARATORS.get(self.sep, {"\\t": "\t"}.get(self.sep, self.sep))

    @property
    def missing(self) -> tuple[str, ...]:
        """The words that stand for a missing value."""
        return MISSING if self.null is None else self.null

    def to_json(self) -> dict[str, Any]:
        """What was said, as what JSON can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, value: Reading | Mapping[str, Any] | None) -> Reading:
        """Itself, or what a mapping says; nothing said for None."""
        return value if isinstance(value, Reading) else cls.from_json(value or {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reading:
        """What :meth:`to_json` described.

        Raises:
            DataError: it is not that.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in value if name not in known]:
            raise DataError(f"reading: there is no {unknown[0]!r}{nearest(unknown[0], known) or f'; there are {listing(known)}'}")
        try:
            return validated(cls, value, "reading")
        except ValueError as error:
            raise DataError(str(error)) from None


def check_encoding(name: str) -> None:
    """Raise DataError unless Python knows an encoding of text by that name."""
    try:
        "x".encode(name)
        codecs.lookup(name)
    except (LookupError, ValueError, TypeError):
        known = [*encodings.aliases.aliases, *encodings.aliases.aliases.values()]
        hint = nearest(name.lower(), known) or "; use one such as utf-8, cp1252 or utf-16-le"
        raise DataError(f"load: there is no encoding (fit --encoding) {name!r}{hint}") from None
