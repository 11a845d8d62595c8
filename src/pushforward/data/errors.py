"""What is wrong with the user's data, said in one sentence."""

from __future__ import annotations

from typing import Any


class DataError(ValueError):
    """The data can't be used as they are: the message says what is wrong, where, and what to do."""


def shown(value: Any) -> str:
    """A value (an Arrow scalar) as it stands in an error, not too long."""
    text = repr(value.as_py()) if isinstance(value.as_py(), str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
