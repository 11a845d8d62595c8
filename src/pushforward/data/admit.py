"""Rows of a table as they come: incomplete, with values that were never there in training, or without some of the columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..words import listing
from .cells import Cells
from .column import Column
from .errors import DataError, shown
from .kinds import Kind, Maybe
from .schema import Schema, stack
from .source import Source
from .tables import select

MOST_REFUSALS = 200  # of a column; beyond, it is another column


@dataclass(frozen=True)
class Admitted:
    """Rows of which not every value is known or possible.

    Attributes:
        x: ``(N, D)`` in encoded numbers; NaN where nothing is there, infinite where a value can't be.
        context: ``(N, K)``, or None.
        reasons: for each row, what is impossible about it; empty for others.
    """

    x: Tensor
    context: Tensor | None
    reasons: list[str]

    @property
    def known(self) -> Tensor:
        """Where a value is there, ``(N, D)``."""
        return ~self.x.isnan()


def admit(schema: Schema, source: Source, optional: bool = False) -> Admitted:
    """The schema's columns of a source, whatever they hold.

    Arguments:
        schema: of a fitted run.
        source: rows with its columns; contexts have to be complete and possible.
        optional: data columns may be absent altogether, which makes all of their values missing.

    Raises:
        DataError: a column is not there, or most of its values are not what the column held.
    """
    there = source.table.column_names if source.named else schema.names
    columns = [column for column in schema.columns if column.name in there] if optional else schema.columns
    if not columns:
        raise DataError(f"{source.name}: has none of the columns of the run ({listing(schema.names)}); give some of them")
    every = [*schema.columns, *schema.context]
    table = select(source, [column.name for column in columns]) if source.named else schema.arranged(source, every)
    x = np.full((table.num_rows, len(schema.columns)), np.nan)
    found: list[list[str]] = [[] for _ in range(table.num_rows)]
    for column in columns:
        values, refused = _values(column, table[column.name], source.name)
        x[:, schema.names.index(column.name)] = values
        for row in np.flatnonzero(refused):
            found[row].append(f"{column.name} is {shown(table[column.name][row])}")
    given = [column.name for column in schema.context]
    context = stack(select(source, given) if source.named else table, schema.context, source.name) if given else None
    return Admitted(torch.from_numpy(x), context, ["; ".join(row) for row in found])


def without_gaps(kind: Kind) -> Kind:
    """The kind of the values that are there."""
    return kind.of if isinstance(kind, Maybe) else kind


def _values(column: Column, values: pa.ChunkedArray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """A column's encoded numbers, NaN for gaps and infinity for what it can't hold, and where that is."""
    cells = Cells(values, column.name, where)
    x, refused = np.full(len(cells), np.nan), np.zeros(len(cells), bool)
    there = np.flatnonzero(~cells.absent)
    refusals = [0]

    def encode(rows: np.ndarray) -> None:
        """All of these rows, or in halves those that can be."""
        try:
            x[rows] = without_gaps(column.kind).encode(replace(cells, values=values.take(pa.array(rows)), rows=rows))
        except DataError:
            if len(rows) > 1:
                encode(rows[: len(rows) // 2])
                encode(rows[len(rows) // 2 :])
                return
            refusals[0] += 1
            if refusals[0] > MOST_REFUSALS:
                raise
            x[rows], refused[rows] = np.inf, True

    if len(there):
        encode(there)
    return x, refused
