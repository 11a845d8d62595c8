"""Which columns and rows of a source take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..words import listing
from .column import absent
from .errors import DataError
from .formats import Source
from .infer import is_data, parse
from .schema import check_complete
from .tables import select
from .times import fractions


@dataclass(frozen=True)
class Chosen:
    """Names of columns by their role, the declared kinds, and the columns that take no part though nobody said so."""

    columns: list[str]
    context: list[str]
    kinds: dict[str, str]
    weight: str | None
    left_out: list[str]

    @property
    def names(self) -> list[str]:
        return [*self.columns, *self.context, *([self.weight] if self.weight else [])]


def choose(
    source: Source,
    columns: list[str] | None,
    context: list[str],
    kinds: Mapping[str, str] | None,
    weight: str | None,
    exclude: Sequence[str] = (),
) -> Chosen:
    """The roles of the columns; without ``columns`` all numbers and times that have no other role are data. Excluded ones are none.

    Raises:
        DataError: a name is unknown (with the nearest), or has two roles, a kind is unknown, or no data column is left.
    """
    kinds, others = dict(kinds or {}), [*context, *([weight] if weight else [])]
    select(source, [*(columns or []), *others, *kinds, *exclude])
    for name, kind in kinds.items():
        parse(kind, name, source.name)
    left_out: list[str] = []
    if columns is None:
        free = [name for name in source.table.column_names if name not in (*others, *exclude)]
        columns = [name for name in free if is_data(source.table[name], kinds.get(name))]
        left_out = [name for name in free if name not in columns]
    columns = [name for name in columns if name not in exclude]
    chosen = Chosen(columns, context, kinds, weight, left_out)
    twice = sorted({name for name in chosen.names if chosen.names.count(name) > 1})
    if twice:
        raise DataError(f"{source.name}: {listing(map(repr, twice))} named more than once; a column is data, context or weight")
    if not chosen.columns:
        raise DataError(f"{source.name}: no column of numbers or times is left to model; it has {listing(source.table.column_names)}")
    return chosen


def complete(source: Source, chosen: Chosen, missing: str) -> tuple[pa.Table, np.ndarray, list[str]]:
    """The chosen columns of the rows without missing values, those rows' numbers in the source, and notes.

    Raises:
        DataError: values are missing and ``missing`` is not "drop".
    """
    table = select(source, chosen.names)
    n = table.num_rows
    gaps = np.logical_or.reduce([absent(table[name]) for name in chosen.names])
    if gaps.any() and missing == "error":
        check_complete(source.name, table, "drop those rows (missing='drop', fit --missing drop) or fill them in")
    kept, notes = np.flatnonzero(~gaps), []
    if len(kept) < n:
        table = table.filter(pa.array(~gaps))
        notes.append(f"{n - len(kept):,} of {n:,} rows of {source.name} with missing, NaN or infinite values were dropped.")
    if chosen.left_out:
        notes.append(f"Left out, since they hold neither numbers nor times (text can serve as context): {listing(chosen.left_out, 20)}.")
    cut = [name for name in chosen.names if fractions(table[name])]
    if cut:
        notes.append(f"Fractions of a second are cut off: {listing(cut)}.")
    return table, kept, notes
