"""A query in SQL as a source of rows: DuckDB reads local files for it, and nothing else happens."""

from __future__ import annotations

import re

from ..words import printable
from .duck import sandbox
from .errors import DataError
from .source import Source


def is_query(source: object) -> bool:
    """Whether a source is a query: text that begins with SELECT or WITH.

    Example::

        >>> is_query("select price from 'diamonds.parquet' where carat < 1"), is_query("selected.csv")
        (True, False)
    """
    return isinstance(source, str) and re.match(r"\s*(select|with)\s", source, re.IGNORECASE) is not None


def read_query(query: str) -> Source:
    """The rows that a query selects, from local files of CSV, Parquet or JSON by their paths in quotes.

    Nothing is written, installed or fetched: one SELECT is run in a database of its own in memory, which opens local files only.

    Raises:
        DataError: it is something else than one SELECT, or fails.
    """
    import duckdb

    with sandbox() as connection:
        try:
            statements = connection.extract_statements(query)
            kinds = [statement.type.name for statement in statements]
            if kinds != ["SELECT"]:
                said = " and ".join(kinds) or "nothing"
                raise DataError(
                    f"load: expected a query that is one SELECT, got {said}; select rows from files, and run the rest elsewhere"
                )
            return Source("query", connection.sql(query).to_arrow_table())
        except duckdb.Error as error:
            reason = printable((str(error).splitlines() or ["it failed"])[0], 200)
            raise DataError(
                f"load: the query can't be run ({reason}); correct it, and give paths of local files in single quotes"
            ) from None
