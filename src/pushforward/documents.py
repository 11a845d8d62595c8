"""Documents from outside, TOML and JSON: read whole, held to a type, refused in one sentence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 2**26  # bytes: a schema of a million words has a quarter of them


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON file, or not a regular file, or too long to be one of ours; the path is named.
    """
    return _parsed(path, json.loads, "valid JSON")


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        ValueError: it is no TOML file, or not a regular file, or too long to be one of ours; the path is named.
    """
    return _parsed(path, tomllib.loads, "a TOML file")


def validated(kind: Callable[..., T], value: Any, where: str, strict: bool = False) -> T:
    """The value as an object of a type; ``strict`` refuses what would have to be converted.

    Raises:
        ValueError: it is none; the place in it is named.

    Example::

        >>> validated(dict[str, int], {"a": 1}, "counts.json")
        {'a': 1}
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(value, strict=strict)
    except (ValidationError, RecursionError) as error:
        raise ValueError(f"{where}: {reason(error)}; put the original file back") from None


def reason(error: Exception) -> str:
    """What is wrong, shortly and in one line."""
    from pydantic import ValidationError

    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        text = f"{at}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r:.60}"
    else:
        text = str(error)
    return " ".join(text.split())[:200]


def _parsed(path: Path, parse: Callable[[str], Any], what: str) -> Any:
    try:
        if not path.is_file():
            raise ValueError("not a regular file")
        if path.stat().st_size > MOST:
            raise ValueError(f"longer than {MOST:,} bytes")
        return parse(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not {what} ({reason(error)}); put the original file back") from None


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
