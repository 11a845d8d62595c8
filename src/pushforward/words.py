"""Small things that are said everywhere: names, near misses and durations."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name closest to a misspelt one, as a half sentence; empty if none is close.

    Example::

        >>> nearest("arr_dely", ["arr_delay", "distance"])
        "; did you mean 'arr_delay'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names separated by commas, the tail of a long list as a count."""
    names = list(names)
    shown = ", ".join(names[:limit])
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
