"""What is wrong with the user's data, said in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..shell import joined, quoted
from ..words import printable


class DataError(ValueError):
    """The data can't be used as they are: the message says what is wrong, where, and what to do."""


def shown(value: Any) -> str:
    """A value (an Arrow scalar) as it stands in an error, not too long."""
    try:
        plain = value.as_py()
    except (OverflowError, ValueError):  # times that Python has not
        plain = str(value.cast("string").as_py())
    return printable(repr(plain) if isinstance(plain, str) else str(value))


def leaving_out(names: Iterable[str]) -> str:
    """The remedy that columns take no part, in words."""
    return f"leave it out (fit --exclude {quoted(joined(names))})"


@contextmanager
def reading(where: str, kind: str, remedy: str = "check that it is complete, or write it again") -> Iterator[None]:
    """Whatever a library makes of bytes that somebody else wrote, as a DataError: ``where`` can't be read as ``kind``."""
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{where}: this machine's memory does not suffice to read it; give a part of it") from error
    except Exception as error:  # each format has its own, and those of zipfile, zlib, the tokenizer and Pillow are not documented
        reason = printable((str(error).splitlines() or [""])[0] or type(error).__name__, 120)
        raise DataError(f"{where} can't be read as {kind} ({reason}); {remedy}") from error


def memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(what: str, needed: int, remedy: str) -> None:
    """Raise DataError if that many bytes are more than the machine has."""
    have = memory()
    if needed > have:
        raise DataError(f"{what} needs {needed // 2**30:,} GiB of memory, and this machine has {have // 2**30:,}; {remedy}")
