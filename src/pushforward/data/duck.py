"""DuckDB with nothing at hand but what it is given: no network, no extensions, no files, no variables of Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
def sandbox(paths: Sequence[str] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own in memory that opens these files only."""
    import duckdb

    with duckdb.connect(":memory:", config=CLOSED) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET allowed_paths = ?", [list(paths)])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
