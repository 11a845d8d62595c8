"""A table with its name: what every way of reading rows ends in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from ..words import listing
from .errors import DataError


@dataclass(frozen=True)
class Source:
    """A table, what to call it in messages, whether its columns have names of their own, and what there is to say of how it was read."""

    name: str
    table: pa.Table
    named: bool = True
    notes: tuple[str, ...] = ()


def check_unique(where: str, names: list[str]) -> None:
    """Raise DataError if two columns have one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: more than one column is called {listing(map(repr, twice))}; rename them")
