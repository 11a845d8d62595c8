"""Times as people write them: ISO 8601, days before months and months before days, hours of the day."""

from __future__ import annotations

from itertools import product

import pyarrow as pa

from .compute import pc
from .numerals import groups

ISO = r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.(?P<fraction>\d{1,9}))?)?(?P<zone>Z|[-+]\d\d(?::?\d\d)?)?)?$"
OF_DAY = r"^(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?$"
BY_NUMBER = ("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y")
BY_NAME = ("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")
LIKE_DAYS = r"^\w{1,9}[-/. ]\w{1,9}[-/., ]+\d"
FINENESS = ("s", "ms", "us", "ns")


def iso(words: pa.Array) -> pa.Array | None:
    """Words in ISO 8601 as dates or timestamps (UTC where all name a zone), in the coarsest unit that holds them; None if one is none."""
    parts = groups(words, ISO)
    if parts is None:
        return None
    zoned, digits = (pc.binary_length(parts[name]).drop_null() for name in ("zone", "fraction"))
    zones = pc.count_distinct(pc.greater(zoned, 0)).as_py()
    if zones > 1:
        return None
    try:
        if pc.all(pc.equal(pc.utf8_length(words), 10)).as_py():
            return words.cast(pa.date32())
        unit = FINENESS[-(-pc.max(digits).as_py() // 3)]
        return words.cast(pa.timestamp(unit, "UTC" if pc.max(zoned).as_py() else None))
    except pa.ArrowInvalid:  # a 30 February, or a year that the unit does not reach
        return None


def of_day(words: pa.Array) -> pa.Array | None:
    """Words such as 5:30 or 5:30 PM as times of day; None if one is none."""
    parts = groups(words, OF_DAY)
    if parts is None:
        return None
    hour, minute, second = (
        pc.if_else(pc.equal(parts[name], ""), "0", parts[name]).cast(pa.int32()) for name in ("hour", "minute", "second")
    )
    half = pc.utf8_upper(parts["half"])
    twelve = pc.not_equal(half, "")
    if pc.any(pc.or_(pc.greater(hour, 23), pc.and_(twelve, pc.or_(pc.greater(hour, 12), pc.equal(hour, 0))))).as_py():
        return None
    if pc.count_distinct(twelve.drop_null()).as_py() > 1:
        return None
    hour = pc.if_else(pc.and_(twelve, pc.equal(hour, 12)), pc.subtract(hour, 12), hour)
    hour = pc.if_else(pc.equal(half, "P"), pc.add(hour, 12), hour)
    return pc.add(pc.multiply(pc.add(pc.multiply(hour, 60), minute), 60), second).cast(pa.int32()).cast(pa.time32("s"))


def formats(words: pa.Array) -> list[str]:
    """The formats of dates in which all words are written: none, one, or two where days and months can't be told apart."""
    first = words.drop_null()[:1]
    if not pc.all(pc.match_substring_regex(first, LIKE_DAYS)).as_py():
        return []
    known = [day + hour for day, hour in product(BY_NUMBER + BY_NAME, HOURS) if written(first, day + hour) is not None]
    return [format for format in known if written(words, format) is not None]


def written(words: pa.Array, format: str) -> pa.Array | None:
    """Words in a format as dates, or as timestamps if it has hours; None if one of them is none."""
    times = pc.strptime(words, format=format, unit="s", error_is_null=True)
    if times.null_count > words.null_count or not pc.all(pc.equal(_bare(pc.strftime(times, format=format)), _bare(words))).as_py():
        return None  # the second where there is no such day: 31/02 is read as 03/03
    return times if "%H" in format or "%I" in format or "%T" in format else times.cast(pa.date32())


def _bare(words: pa.Array) -> pa.Array:
    """Without zeros in front of numbers, in small letters: both may differ between what is written and what strftime writes."""
    return pc.utf8_lower(pc.replace_substring_regex(words, r"\b0+(\d)", r"\1"))
