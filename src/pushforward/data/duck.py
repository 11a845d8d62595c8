"""DuckDB with nothing at hand but the files it is asked to read: no network, no extensions, no writing, no variables of Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # a table in a query is no variable of ours
    "temp_directory": "",  # what memory does not hold is not written into the current folder
}


@contextmanager
def sandbox(paths: list[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own that opens these files only, or any local file."""
    import duckdb

    allowed = {"allowed_directories": ["/"]} if paths is None else {"allowed_paths": paths}
    with duckdb.connect(":memory:", config=CLOSED) as connection:
        for name, value in allowed.items():
            connection.execute(f"SET {name} = ?", [value])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def literal(text: str) -> str:
    """Text as it stands in SQL."""
    return "'" + text.replace("'", "''") + "'"
