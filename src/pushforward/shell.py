"""Commands as a shell reads them, and lists within one of their options: written so that they come back as they were."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterable
from pathlib import Path


def command(*parts: object) -> str:
    r"""A line that runs the program with these parts when it is pasted, whatever is in them.

    Control characters are written as bash, zsh and ksh read them, so that no terminal obeys them and a line stays one line.

    Example::

        >>> command("sample", Path("my runs/a"), "--context", "name=O'Fallon")
        'pushforward sample \'my runs/a\' --context \'name=O\'"\'"\'Fallon\''
    """
    return " ".join(quoted(part) for part in ("pushforward", *parts))


def quoted(part: object) -> str:
    """One word of a command; a path that begins with a dash is told from an option."""
    word = f"./{part}" if isinstance(part, Path) and str(part).startswith("-") else str(part)
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in escaped) + "'"


def cells(text: str) -> list[str]:
    """``a, b`` as its values, as in a line of CSV: ``"a, b",c`` are two; a text without commas and quotes is one, as it stands.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    if "," not in text and not text.startswith('"'):
        return [text]
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"can't read {text!r} as values separated by commas ({error}); write those with commas as '\"a, b\",c'") from None


def joined(values: Iterable[str]) -> str:
    """What :func:`cells` reads as these values.

    Example::

        >>> joined(["Paris, TX", "Rome"])
        '"Paris, TX",Rome'
    """
    values = list(values)
    alone = len(values) == 1
    return ",".join(_cell(value, alone) for value in values)


def _cell(value: str, alone: bool) -> str:
    plain = not any(c in value for c in ',"\r\n') and (alone or value == value.strip())
    return value if plain else '"' + value.replace('"', '""') + '"'
