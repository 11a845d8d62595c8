"""Numbers as people write them: decimal commas, thousands in groups, signs of currency and percent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from .compute import pc

BLANKS = " \u00a0\u2009\u202f"
PATTERN = (
    r"^(?P<open>\(?)(?P<sign>[-+−]?)[BLANKS]*(?P<unit>[$€£¥₹]?)[BLANKS]*(?P<inner>[-+−]?)"
    r"(?P<digits>[0-9](?:[0-9.,'’BLANKS]*[0-9.,])?|[.,][0-9]+)(?P<power>(?:[eE][-+]?[0-9]+)?)[BLANKS]*(?P<after>[%$€£¥₹]?)(?P<close>\)?)$"
).replace("BLANKS", BLANKS)
GROUPS = {".": ",", ",": "."}  # what else than a blank or an apostrophe may stand between groups of three digits, by the decimal mark


@dataclass(frozen=True)
class Numerals:
    """Words that are numbers, none of them plain, and what they are under each decimal mark that fits all of them.

    Attributes:
        words: as they are written, null where a value is missing.
        parts: of each word its signs, digits and unit.
        marks: the decimal marks that fit.
        open: whether it matters which of them it is, as it does for 1,234.
    """

    words: pa.Array
    parts: dict[str, pa.Array]
    marks: str
    open: bool

    def values(self, mark: str) -> pa.Array:
        """The numbers: int64 where none of them has a fraction, else float64."""
        digits = pc.replace_substring_regex(self.parts["digits"], f"[^0-9{mark}]", "")
        digits = pc.binary_join_element_wise(pc.replace_substring(digits, mark, "."), self.parts["power"], "")
        below = pc.or_(*(pc.match_substring_regex(self.parts[name], "[-−(]") for name in ("open", "sign")))
        below = pc.xor(below, pc.match_substring_regex(self.parts["inner"], "[-−]"))
        try:
            numbers = digits.cast(pa.int64())
        except pa.ArrowInvalid:
            numbers = digits.cast(pa.float64())
        return pc.if_else(below, pc.negate(numbers), numbers)

    def example(self, mark: str) -> str:
        """The first word, and what number it is."""
        first = self.words.drop_null()[:1]
        at = pc.index(self.words, first[0]).as_py()
        return f"{first[0].as_py()!r} is {self.values(mark)[at].as_py()}"


def numerals(words: pa.Array) -> Numerals | None:
    """The words as numbers; None if one of them is none, or if they differ in their unit."""
    parts = groups(words, PATTERN)
    if parts is None:
        return None
    units = pc.binary_join_element_wise(parts["unit"], parts["after"], "")
    closed = pc.equal(pc.binary_length(parts["open"]), pc.binary_length(parts["close"]))
    if len(pc.unique(units.drop_null())) > 1 or not pc.all(closed).as_py():
        return None
    digits = parts["digits"]
    marks = "".join(mark for mark in ".," if pc.all(pc.match_substring_regex(digits, _shape(mark))).as_py())
    marked = bool(pc.any(pc.match_substring_regex(digits, "[.,]")).as_py())
    return Numerals(words, parts, marks, marked and len(marks) > 1) if marks else None


def groups(words: pa.Array, pattern: str) -> dict[str, pa.Array] | None:
    """The named groups of a regular expression in each word; None if one does not match it."""
    parts = pc.extract_regex(words, pattern)
    if parts.null_count > words.null_count:
        return None
    return {field.name: pc.struct_field(parts, field.name) for field in parts.type}


def decimal_mark(found: Iterable[Numerals], sep: str) -> str:
    """The decimal mark of a file: that of the columns where only one fits, or else what goes with its separator."""
    marks = {one.marks for one in found}
    if "." in marks or "," in marks:
        return "." if "." in marks else ","
    return "," if sep == ";" else "."


def _shape(mark: str) -> str:
    groups = "|".join(f"(?:{between}[0-9]{{3}})+" for between in (rf"\{GROUPS[mark]}", f"[{BLANKS}]", "['’]"))
    return rf"^(?:[1-9][0-9]{{0,2}}(?:{groups})|[0-9]{{0,19}})(?:\{mark}[0-9]*)?$"
