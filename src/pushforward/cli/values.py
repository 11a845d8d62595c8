"""What flags hold, as values: lists, pairs, pixels, durations."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..shell import cells


def names(values: list[str] | None) -> list[str] | None:
    """``a,b,c``, as in a line of CSV (``"a, b",c`` are two), or the option repeated, as a list."""
    return None if values is None else [name for value in values for name in cells(value) if name]


def column_kinds(values: list[str] | None) -> dict[str, str] | None:
    """``["price=positive"]`` as a mapping."""
    found = {}
    for value in values or []:
        name, equals, kind = value.rpartition("=")
        if not equals:
            raise ValueError(f"--kind: expected NAME=KIND, as price=positive, got {value!r}")
        found[name] = kind
    return found or None


def conditions(values: list[str] | None, known: Iterable[str], flag: str = "--context") -> dict[str, list[str]] | str | None:
    """``["origin=EWR,JFK", "hour=12"]`` as a mapping to lists of values; one value without ``=`` is a file.

    Names end at the first ``=``, but those that are ``known`` may hold more of them.
    """
    if values is None:
        return None
    if len(values) == 1 and "=" not in values[0]:
        return values[0]
    names, pairs = sorted(known, key=len, reverse=True), {}
    for value in values:
        if "=" not in value:
            raise ValueError(f"{flag}: expected NAME=VALUE, as origin=JFK, got {value!r}")
        name = next((name for name in names if value.startswith(f"{name}=")), value.partition("=")[0])
        pairs[name] = cells(value[len(name) + 1 :])
    return pairs


def part_of_images(values: list[str]) -> tuple[str, list[str]]:
    """``["top-half=a.png", "top-half=b.png"]`` as the part and the files; no file without ``=``.

    Raises:
        ValueError: two parts.
    """
    pairs = [value.partition("=") for value in values]
    if len({part for part, *_ in pairs}) != 1:
        raise ValueError(f"--keep: expected one part for all images, got {' and '.join(sorted({part for part, *_ in pairs}))}")
    return pairs[0][0], [file for *_, file in pairs if file]


def decimals(flag: str, text: str) -> list[float]:
    """``0.5,0.7,1`` as numbers.

    Raises:
        ValueError: one of them is none; ``flag`` says where.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{flag}: expected numbers separated by commas, as 0.5,0.7,1, got {text!r}") from None


def row_numbers(flag: str, text: str | None) -> list[int]:
    """``3,17`` as rows; none without a text.

    Raises:
        ValueError: one of them is none; ``flag`` says where.
    """
    parts = text.split(",") if text else []
    if not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"{flag}: expected rows separated by commas, as 3,17, got {text!r}")
    return [int(part) for part in parts]


def row_pairs(flag: str, text: str | None) -> list[tuple[int, int]]:
    """``3:17,4:20`` as pairs of rows.

    Raises:
        ValueError: something else is written; ``flag`` says where.
    """
    found = []
    for part in (text or "").split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+):(\d+)\s*", part)
        if not match:
            raise ValueError(f"{flag}: expected pairs of rows, as 3:17,4:20, got {text!r}")
        found.append((int(match[1]), int(match[2])))
    return found


def image_size(text: str | None) -> int | tuple[int, int] | None:
    """``32``, or ``48x64`` as height and width."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text.strip())
    if not match:
        raise ValueError(f"--size: expected pixels, as 32, or height and width, as 48x64, got {text!r}")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))
