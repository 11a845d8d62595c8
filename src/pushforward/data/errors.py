"""What is wrong with the user's data, said in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class DataError(ValueError):
    """The data can't be used as they are: the message says what is wrong, where, and what to do."""


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


def shown(value: Any) -> str:
    """A value (an Arrow scalar) as it stands in an error, not too long."""
    text = repr(value.as_py()) if isinstance(value.as_py(), str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
