"""Small things that are said everywhere: names, near misses, durations, and other people's text."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable
from numbers import Integral


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name closest to a misspelt one, as a half sentence; empty if none is close.

    Example::

        >>> nearest("arr_dely", ["arr_delay", "distance"])
        "; did you mean 'arr_delay'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def printable(text: object, limit: int = 60) -> str:
    """Somebody's text on one line that no terminal obeys: control characters escaped, the middle of what is too long left out.

    Example::

        >>> printable("price\x1b[31m")
        'price\\\\x1b[31m'
    """
    words = str(text)
    if len(words) > limit:
        words = f"{words[: limit - limit // 3 - 5]} ... {words[-(limit // 3) :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def tell(sentence: str) -> None:
    """A sentence to who waits, on stderr, :func:`printable` whatever names are in it."""
    print(printable(sentence, 1000), file=sys.stderr, flush=True)


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names separated by commas, each :func:`printable`, the tail of a long list as a count."""
    names = list(names)
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def duration(seconds: float) -> str:
    """``12s``, ``3m05s`` or ``2h07m``.

    Example::

        >>> duration(185.2)
        '3m05s'
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def check_counts(who: str, *, least: int = 1, **counts: int) -> None:
    """Raise ValueError unless each of the counts is a whole number of at least ``least``.

    Example::

        >>> check_counts("MLP", width=-3)
        Traceback (most recent call last):
        ValueError: MLP: width must be a whole number of at least 1, got -3
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{who}: {name} must be a whole number of at least {least}, got {value!r:.60}")


def time_span(value: float | str) -> float:
    """Seconds: a number of them, or ``90``, ``90s``, ``2m``, ``1h30m``.

    Raises:
        ValueError: something else, or nothing above 0.

    Example::

        >>> time_span("1h30m")
        5400.0
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip())
        found = sum(float(part or 0) * scale for part, scale in zip(match.groups(), (3600, 60, 1))) if match else 0.0
    else:
        found = float(value)
    if not 0 < found < math.inf:
        raise ValueError(f"time limit (--time-limit): expected a time such as 90s, 2m or 1h30m, got {value!r}")
    return found
