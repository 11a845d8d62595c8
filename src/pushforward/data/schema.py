"""What a table means: its columns, how rows become numbers and come back, and the preprocessing they need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Transform
from ..documents import validated
from ..words import listing
from . import preprocess
from .cells import Cells, absent
from .column import Column
from .errors import DataError
from .formats import Source
from .tables import read, select

VERSION = 2  # of schema.json; 1 had no number, and flat records for columns


@dataclass(frozen=True)
class Schema:
    """The columns that a model describes, and those it is conditioned on.

    Attributes:
        columns: the data, in the order of the numbers of a row.
        context: the context, likewise.
        image: the shape of a row that is a flattened picture, such as (8, 8).
        fixed: columns that never change: no part of a row, and there again in a decoded table.
        order: the names of a decoded table's columns in their order, where there are fixed ones.

    Example::

        >>> schema = load("moons").schema
        >>> schema.shape, schema.context_shape, [type(layer).__name__ for layer in schema.layers()]
        ((2,), 0, ['Standardize', 'Cast'])
    """

    columns: list[Column]
    context: list[Column] = field(default_factory=list)
    image: tuple[int, ...] | None = None
    fixed: list[Column] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the data columns."""
        return [column.name for column in self.columns]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row: ``(D,)``."""
        return (len(self.columns),)

    @property
    def context_shape(self) -> int:
        """The number of context columns; 0 without context."""
        return len(self.context)

    @property
    def context_width(self) -> int:
        """The number of features that the layers see of a context: one per number, one per word of a vocabulary."""
        return sum(len(column.vocabulary) if column.vocabulary else 1 for column in self.context)

    @property
    def discrete(self) -> bool:
        """Whether all columns are whole numbers: then ``exp(log_prob)`` is a probability."""
        return all(column.discrete for column in self.columns)

    @property
    def mixed(self) -> bool:
        """Whether there are categories or gaps: then no density on real numbers describes a row."""
        return any(column.vocabulary is not None or column.kind.support().missing for column in self.columns)

    @property
    def log_scale(self) -> float:
        """Sum of the log standard deviations: nats per row in the units of the encoded numbers plus this are nats for standardized columns.

        Columns that never change in the train split are left out, and codes without an order, which have no scale.
        """
        return sum(math.log(column.scale) for column in self.columns if column.scale > 0 and column.kind.support().ordered)

    def layers(self) -> list[Transform]:
        """Fresh preprocessing layers, from encoded float64 rows to standardized numbers in the nets' dtype: for ``Flow.prepend``.

        Raises:
            DataError: a column may be missing.
        """
        return preprocess.layers(self.columns)

    def embed(self) -> nn.Module | None:
        """A fresh net from raw contexts ``(N, context_shape)`` to features ``(N, context_width)``; None without context."""
        return preprocess.Embed(self.context) if self.context else None

    def missing(self, table: Any, context: bool = True) -> np.ndarray:
        """Which rows of a table have a null, NaN or infinite value in a column that has no gaps by its kind: ``(N,)`` bool."""
        source = read(table)
        columns = self._columns(context)
        arranged = self.arranged(source, columns)
        gaps = [absent(arranged[column.name]) for column in columns if not column.kind.support().missing]
        return np.logical_or.reduce([np.zeros(arranged.num_rows, bool), *gaps])

    def encode(self, table: Any, context: bool = True) -> tuple[Tensor, Tensor | None]:
        """The rows of a table (anything that ``load`` takes) as float64 tensors: data ``(N, D)`` and context ``(N, K)``.

        Columns are found by name and others are ignored; an array without names must have exactly the columns of the schema, the
        context's last. ``context=False`` asks for the data only. A gap is NaN, in a column whose kind has gaps. Columns that never
        change may be absent, and must not have changed.

        Raises:
            DataError: a column is missing, or a value is missing or is not what its column holds.
        """
        source = read(table)
        columns = self._columns(context)
        arranged = self.arranged(source, columns)
        remedy = "drop those rows or fill them in; only a run that was fitted with missing='drop' (fit --missing drop) passes over them"
        check_complete(source.name, arranged.select([c.name for c in columns if not c.kind.support().missing]), remedy)
        if source.named:
            stack(source.table, [column for column in self.fixed if column.name in source.table.column_names], source.name)
        x = stack(arranged, self.columns, source.name)
        return x, stack(arranged, self.context, source.name) if context and self.context else None

    def decode(self, x: Tensor) -> pa.Table:
        """Rows ``(N, D)`` as a table with the columns' own names, order and types: whole numbers as integers, times as times."""
        table = decoded(x, self.columns)
        for column in self.fixed:
            table = table.append_column(column.name, column.kind.decode(np.zeros(len(x))))
        return table.select(self.order) if self.order else table

    def decode_context(self, context: Tensor) -> pa.Table:
        """Context rows ``(N, K)`` as a table with their own names and types: codes as text."""
        return decoded(context, self.context)

    def to_json(self) -> dict[str, Any]:
        """The schema as what JSON can hold, without loss."""
        columns = {part: [column.to_json() for column in getattr(self, part)] for part in ("columns", "context", "fixed")}
        return {"version": VERSION} | asdict(replace(self, columns=[], context=[], fixed=[])) | columns

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schema:
        """The schema that :meth:`to_json` described, here or in a release before it had a version.

        Raises:
            DataError: it is none.
        """
        try:
            described = validated(dict[str, Any], value, "Schema")
            version = described.pop("version", 1)
            if version not in (1, VERSION):
                raise DataError(f"version {version}, which this release can't read; update pushforward")
            columns, context, fixed = (columns_from_json(described.pop(part, [])) for part in ("columns", "context", "fixed"))
            found = validated(cls, described | {"columns": []}, "Schema")
            return replace(found, columns=columns, context=context, fixed=fixed).checked()
        except ValueError as error:
            raise DataError(f"not the description of a table's columns ({error})") from None

    def checked(self) -> Schema:
        """The schema itself.

        Raises:
            DataError: it has no columns, a name twice, or a column that can't be.
        """
        names = [*self.names, *(column.name for column in self.fixed)]
        if not self.columns or len(set(names)) < len(names) or (self.order and sorted(self.order) != sorted(names)):
            raise DataError("Schema: expected columns, each of a name of its own")
        for column in (*self.columns, *self.context, *self.fixed):
            column.check()
        return self

    def _columns(self, context: bool) -> list[Column]:
        return [*self.columns, *self.context] if context else self.columns

    def arranged(self, source: Source, columns: Sequence[Column]) -> pa.Table:
        """The schema's columns of a source: by name, or by place where it has no names."""
        names = [column.name for column in columns]
        if source.named:
            return select(source, names)
        data = self.order or self.names
        have, given = source.table.num_columns, [*data, *(column.name for column in self.context)]
        if have not in (len(data), len(given)) or have < len(names):
            expected = [*data, *names[len(self.columns) :]]
            raise DataError(f"{source.name}: expected {len(expected)} columns ({listing(expected)}), got {have}; give them in this order")
        return source.table.rename_columns(given[:have]).select(names)


def columns_from_json(value: Any) -> list[Column]:
    """Columns that ``to_json`` described.

    Raises:
        ValueError: they are none.
    """
    return [Column.from_json(item) for item in validated(list[Any], value, "columns")]


def check_complete(where: str, table: pa.Table, remedy: str) -> None:
    """Raise DataError with the count per column if a value is null, NaN or infinite."""
    counts = {name: int(absent(table[name]).sum()) for name in table.column_names}
    found = [f"{name} {count:,}" for name, count in counts.items() if count]
    if found:
        raise DataError(
            f"{where}: missing, NaN or infinite values in {len(found)} of {len(counts)} columns "
            f"(rows of {table.num_rows:,}: {listing(found)}); {remedy}"
        )


def stack(table: pa.Table, columns: Sequence[Column], where: str, rows: np.ndarray | None = None) -> Tensor:
    """The columns' encoded numbers side by side: float64 ``(N, len(columns))``."""
    x = np.empty((table.num_rows, len(columns)))
    for i, column in enumerate(columns):
        x[:, i] = column.kind.encode(Cells(table[column.name], column.name, where, rows))
    return torch.from_numpy(x)


def decoded(x: Tensor, columns: Sequence[Column]) -> pa.Table:
    """Encoded numbers side by side as the values that they stand for."""
    if x.dim() != 2 or x.shape[1] != len(columns):
        raise DataError(f"Schema: expected rows of {len(columns)} numbers, got {tuple(x.shape)}")
    values = x.detach().cpu().double().numpy()
    return pa.table({column.name: column.kind.decode(values[:, i]) for i, column in enumerate(columns)})
