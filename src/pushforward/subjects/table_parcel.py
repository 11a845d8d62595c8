"""Tables as codecs take them: values that the schema gives back to the bit, and all others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..compression import Damage, Opened, Parcel, Rival, Unpacking
from ..compression.beside import (
    as_type,
    bytes_to_mask,
    bytes_to_table,
    mask_to_bytes,
    pack,
    schema_to_text,
    table_to_bytes,
    text_to_schema,
    unpack,
)
from ..compression.rivals import rivals_of_tables
from ..core import Flow
from ..data import DataError, Reading, Schema, read
from ..data.admit import admit
from ..data.cells import unpacked
from ..data.compute import pc
from ..data.formats import parquet_as_it_is
from ..data.source import Source
from ..transforms import Quantize
from .files import check_ending, write_tables

ROWS_TOGETHER = 4096  # that are admitted together: where one makes that impossible, all of them are stored as they are


class TableParcel(Parcel):
    """The rows of a table: numbers of the schema's columns, and beside them the other columns, the context's too.

    Arguments:
        flow: whose first layer says which rows have a probability of zero.
        schema: of the run.
        data: a path, array or table.
        reading: how text is read.

    Raises:
        DataError: a column is missing.
    """

    def __init__(self, flow: Flow, schema: Schema, data: Any, reading: Reading):
        table = _as_it_is(data)
        source = read(data if table is None else table, reading)
        self.table = source.table if table is None else table
        if not source.named:
            self.table = schema.arranged(source, [*schema.columns, *schema.context])
            source = Source(source.name, self.table)
        schema.arranged(source, [*schema.columns, *schema.context])  # a column that is not there is said now
        self.schema, self.notes, self.size = schema, list(source.notes), self.table.nbytes
        names = [*schema.names, *(column.name for column in schema.fixed if column.name in self.table.column_names)]
        self.modelled = self.table.select(names)
        self.others = self.table.select([name for name in self.table.column_names if name not in names])
        self.x = torch.full((source.table.num_rows, len(schema.columns)), torch.nan, dtype=torch.float64)
        self.context = torch.zeros(len(self.x), len(schema.context), dtype=torch.float64) if schema.context else None
        self.misfits = np.zeros(len(self.x), bool)
        layers = [layer for layer in flow.transform.transforms if isinstance(layer, Quantize)]
        for start in range(0, len(self.x), ROWS_TOGETHER):
            self._admit(source, slice(start, start + ROWS_TOGETHER), layers)
        self.described = {"kind": "table", "schema": schema_to_text(self.table.schema)}

    def rivals(self) -> list[Rival]:
        return rivals_of_tables(self.table)

    def beside(self, rows: slice, misfits: np.ndarray) -> bytes:
        others, modelled = (table.slice(rows.start, rows.stop - rows.start) for table in (self.others, self.modelled))
        return pack([mask_to_bytes(misfits), table_to_bytes(others), table_to_bytes(modelled.filter(pa.array(misfits)))])

    def _admit(self, source: Source, rows: slice, layers: Sequence[Quantize]) -> None:
        """The numbers of some rows, and which of them don't come back."""
        part = replace(source, table=source.table.slice(rows.start, ROWS_TOGETHER))
        try:
            admitted = admit(self.schema, part)
        except DataError:
            self.misfits[rows] = True
            return
        x = torch.where(admitted.x.isnan(), torch.nan, admitted.x) + 0.0
        bad = x.isinf().any(1)
        x = torch.where(x.isinf(), torch.nan, x)
        for layer in layers:
            bad |= layer.split(x)[1].eq(-torch.inf).any(1)
        decoded, given = self.schema.decode(x), self.modelled.slice(rows.start, ROWS_TOGETHER)
        differ = [_differ(decoded[name], given[name]) for name in given.column_names]
        self.x[rows] = x
        if self.context is not None and admitted.context is not None:
            self.context[rows] = admitted.context
        self.misfits[rows] = np.logical_or.reduce([bad.numpy(), *differ])


class TableUnpacking(Unpacking):
    """Tables that come back, with the names, types and order of their columns.

    Arguments:
        schema: of the run.
        described: what the file says of the table.

    Raises:
        ValueError: it is no such description.
    """

    def __init__(self, schema: Schema, described: dict[str, Any]):
        self.schema = schema
        self.types = text_to_schema(described.get("schema"))
        names = [*schema.names, *(column.name for column in schema.fixed if column.name in self.types.names)]
        if not set(names) <= set(self.types.names):
            raise ValueError("decompress: the columns of the file are not those of the run; give the run that it was made with")
        self.modelled = pa.schema([self.types.field(name).remove_metadata() for name in names])
        self.others = pa.schema([field.remove_metadata() for field in self.types if field.name not in names])

    def open(self, beside: bytes, rows: int) -> Opened:
        mask, others, rest = unpack(beside, 3)
        misfits = bytes_to_mask(mask, rows)
        kept, raw = bytes_to_table(others, self.others, rows), bytes_to_table(rest, self.modelled, int(misfits.sum()))
        context = None
        if self.schema.context:
            given = kept.filter(pa.array(~misfits))
            try:
                context = Schema(self.schema.context).encode(Source("the block", given))[0]
            except DataError as error:
                raise Damage("the columns that the model is given are not those of the run") from error
        return Opened(misfits, context, (kept, raw))

    def close(self, opened: Opened, x: Tensor) -> pa.Table:
        others, raw = opened.parts
        decoded = self.schema.decode(x)
        restored = pa.table([as_type(decoded[field.name], field.type) for field in self.modelled], schema=self.modelled)
        rows = np.empty(len(opened.misfits), np.int64)
        rows[~opened.misfits], rows[opened.misfits] = np.arange(len(x)), len(x) + np.arange(raw.num_rows)
        both = pa.concat_tables([restored, raw]).take(pa.array(rows))
        found = {name: (both if name in both.column_names else others)[name] for name in self.types.names}
        return pa.table(list(found.values()), schema=self.types)

    def joined(self, blocks: Sequence[tuple[pa.Table | None, int]]) -> pa.Table:
        found = [table for table, _ in blocks if table is not None]
        return pa.concat_tables(found).unify_dictionaries() if found else self.types.empty_table()

    def write(self, out: Path, data: pa.Table) -> None:
        write_tables(out, [data])

    def check_out(self, out: Path) -> None:
        check_ending("decompress", out)


def _as_it_is(data: Any) -> pa.Table | None:
    """A Parquet file or an Arrow table with all that its schema says; None of other sources."""
    if isinstance(data, pa.Table):
        return data
    path = Path(data) if isinstance(data, str | Path) else None
    if path is not None and path.suffix.lower() == ".parquet" and path.is_file():
        return parquet_as_it_is(path)
    return None


def _differ(decoded: pa.ChunkedArray, given: pa.ChunkedArray) -> np.ndarray:
    """Where values don't come back to the bit, ``(N,)``."""
    try:
        found = as_type(decoded, given.type)
    except pa.ArrowException:
        return np.ones(len(given), bool)
    return _unequal(unpacked(found), unpacked(given))


def _unequal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> np.ndarray:
    absent = pc.not_equal(pc.is_null(a), pc.is_null(b)).to_numpy()
    if pa.types.is_floating(a.type):  # for which NaN differs from NaN, and 0 equals -0
        width = np.dtype(f"u{a.type.bit_width // 8}")
        bits = [np.asarray(pc.fill_null(part, 0.0).to_numpy()).view(width) for part in (a, b)]
        return absent | (bits[0] != bits[1])
    return absent | pc.fill_null(pc.not_equal(a, b), False).to_numpy()
