"""Which columns and rows of a source take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..words import listing
from .cells import Cells, absent
from .errors import DataError
from .formats import Source
from .infer import HIDDEN, parse, role
from .schema import check_complete
from .tables import select


@dataclass(frozen=True)
class Chosen:
    """Names of columns by their role, the declared kinds, and the columns that take no part though nobody said so.

    ``by`` says which rows are held out, and may have another role beside.
    """

    columns: list[str]
    context: list[str]
    kinds: dict[str, str]
    weight: str | None
    unreadable: list[str]
    identifiers: list[str]
    by: str | None = None

    @property
    def described(self) -> list[str]:
        """The data and what they are conditioned on."""
        return [*self.columns, *self.context]

    @property
    def names(self) -> list[str]:
        """All, each once."""
        return list(dict.fromkeys([*self.columns, *self.needed]))

    @property
    def needed(self) -> list[str]:
        """Those without which a row can't take part."""
        return [*self.context, *(name for name in (self.weight, self.by) if name is not None)]

    def notes(self) -> list[str]:
        """What to tell of columns that take no part."""
        found = []
        if self.unreadable:
            found.append(f"Left out, since they hold neither numbers nor times nor text, or nothing: {listing(self.unreadable, 20)}.")
        if self.identifiers:
            words = "Left out, since they name the rows and do not describe them (row numbers, or a value of its own in nearly every row)"
            found.append(f"{words}: {listing(self.identifiers, 20)}; name them among the columns to model them (fit --columns).")
        return found


def choose(
    source: Source,
    columns: list[str] | None,
    context: list[str],
    kinds: Mapping[str, str] | None,
    weight: str | None,
    exclude: Sequence[str] = (),
    by: str | None = None,
) -> Chosen:
    """The roles of the columns; without ``columns`` all that have no other role are data but identifiers. Excluded ones are none.

    What rows are split ``by`` is no data by itself, and may be named as such.

    Raises:
        DataError: a name is unknown (with the nearest), or has two roles, a kind is unknown, or no data column is left.
    """
    kinds, others = dict(kinds or {}), [*context, *([weight] if weight else [])]
    select(source, [*(columns or []), *others, *kinds, *exclude, *([by] if by else [])])
    for name, kind in kinds.items():
        parse(kind, name, source.name)
    roles: dict[str, str] = {}
    if columns is None:
        free = [name for name in source.table.column_names if name not in (*others, *exclude, by)]
        roles = {name: role(Cells(source.table[name], name, source.name), kinds.get(name)) for name in free}
        columns = [name for name in free if roles[name] == "data"]
    columns = [name for name in columns if name not in exclude]
    unreadable, identifiers = ([name for name, found in roles.items() if found == what] for what in ("unreadable", HIDDEN))
    chosen = Chosen(columns, context, kinds, weight, unreadable, identifiers, by)
    roles_of = [*columns, *others]
    twice = sorted({name for name in roles_of if roles_of.count(name) > 1})
    if twice:
        raise DataError(f"{source.name}: {listing(map(repr, twice))} named more than once; a column is data, context or weight")
    if not chosen.columns:
        why = f"; {listing(identifiers)} only name the rows" if identifiers else ""
        raise DataError(f"{source.name}: no column of numbers or times is left to model{why}; it has {listing(source.table.column_names)}")
    return chosen


def complete(source: Source, chosen: Chosen, missing: str) -> tuple[pa.Table, np.ndarray, list[str]]:
    """The chosen columns of the rows that take part, those rows' numbers in the source, and notes.

    Raises:
        DataError: values are missing and ``missing`` is "error", or in what a row can't do without, where it is "keep" or "ignore".
    """
    table = select(source, chosen.names)
    n, needed = table.num_rows, list(dict.fromkeys(chosen.needed)) if missing in ("keep", "ignore") else chosen.names
    gaps = np.logical_or.reduce([np.zeros(n, bool), *(absent(table[name]) for name in needed)])
    if gaps.any() and missing != "drop":
        check_complete(source.name, table.select(needed), "drop those rows (missing='drop', fit --missing drop) or fill them in")
    kept, notes = np.flatnonzero(~gaps), []
    if len(kept) < n:
        table = table.filter(pa.array(~gaps))
        notes.append(f"{n - len(kept):,} of {n:,} rows of {source.name} with missing, NaN or infinite values were dropped.")
    return table, kept, [*notes, *chosen.notes()]
