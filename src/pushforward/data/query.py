"""A query in SQL as a source of rows: files are read by us, their tables are handed to DuckDB, and nothing else happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..words import printable
from .duck import sandbox
from .errors import DataError
from .formats import read_file
from .parts import parts_of, read_parts
from .reading import Reading
from .source import Source


def is_query(source: object) -> bool:
    """Whether a source is a query: text that begins with SELECT or WITH.

    Example::

        >>> is_query("select price from 'diamonds.parquet' where carat < 1"), is_query("selected.csv")
        (True, False)
    """
    return isinstance(source, str) and re.match(r"\s*(select|with)\s", source, re.IGNORECASE) is not None


def read_query(query: str, reading: Reading) -> Source:
    """The rows that a query selects from files, which stand after FROM in quotes: ``select a, b from 'x.parquet' where a > 0``.

    A file, a folder or a pattern is whatever :func:`read` takes for one; of Parquet only the columns and rows that are asked for are read.
    The query itself runs in a database in memory that can't open a file, a network or an extension, whatever it says.

    Raises:
        DataError: it is something else than one SELECT, or fails.
    """
    import duckdb

    with sandbox() as connection:
        try:
            ((parsed,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
            tree = json.loads(parsed)
            if tree["error"] or len(tree["statements"]) != 1:
                reason = tree.get("error_message", f"it is {len(tree.get('statements', []))} statements")
                raise DataError(f"load: expected a query that is one SELECT ({printable(reason, 200)}); do the rest elsewhere")
            for name in set(_tables(tree)):
                if set(name) & set("./\\*"):
                    connection.register(name, _table(name, reading))
            return Source("query", connection.sql(query).to_arrow_table())
        except (duckdb.Error, RecursionError) as error:
            reason = printable((str(error).splitlines() or ["it failed"])[0], 200)
            raise DataError(f"load: the query can't be run ({reason}); correct it; files stand after FROM, in single quotes") from None


def _tables(tree: Any) -> Iterator[str]:
    """The names of tables in a parsed query."""
    if isinstance(tree, dict) and tree.get("type") == "BASE_TABLE":
        yield tree["table_name"]
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _tables(part)


def _table(name: str, reading: Reading) -> Any:
    paths = parts_of(name) or [Path(name)]
    if all(path.suffix.lower() == ".parquet" and path.is_file() for path in paths):
        from pyarrow import dataset  # which imports pandas

        return dataset.dataset(list(map(str, paths)), format="parquet", partitioning="hive")
    return read_parts(paths, name, reading).table if len(paths) > 1 else read_file(paths[0], reading).table
