"""Questions about the columns of a table: some given others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Flow
from ..data import Schema, read
from ..data.admit import Admitted, admit, without_gaps
from ..data.compute import pc
from ..data.context import context_rows
from ..data.kinds import Kind
from ..data.source import Source
from ..evaluation import settled
from ..questions import Weighted, questions
from ..words import listing, nearest

AT_A_TIME = 8192  # rows that are asked about together
MOST_SHARES = 50  # categories whose probabilities become columns


def columns_of(who: str, schema: Schema, names: Sequence[str]) -> list[int]:
    """The numbers of named columns.

    Raises:
        ValueError: there is no such column.
    """
    for name in names:
        if name not in schema.names:
            raise ValueError(f"{who}: the run has no column {name!r}{nearest(name, schema.names) or f'; it has {listing(schema.names)}'}")
    return [schema.names.index(name) for name in names]


def given_rows(who: str, schema: Schema, given: Any) -> tuple[Tensor, Tensor]:
    """Values of some columns, a mapping or anything with rows, as rows ``(G, D)`` and which columns are given, ``(G, D)``.

    Raises:
        ValueError: a column that the run has not, or a value that it can't hold.
    """
    names = list(given) if isinstance(given, dict) else read(given).table.column_names
    at = columns_of(who, schema, names)
    columns = [schema.columns[i] for i in at]
    whole = Schema(schema.columns, [type(column)(column.name, without_gaps(column.kind)) for column in columns])
    values = context_rows(whole, given)
    assert values is not None
    x = torch.full((len(values), len(schema.columns)), torch.nan, dtype=torch.float64)
    x[:, at] = values
    return x, ~x.isnan()


def completed(flow: Flow, x: Tensor, given: Tensor, context: Tensor | None, seed: int, gaps: bool = False) -> Tensor:
    """The rows with what is not given drawn from its distribution given the rest."""
    with settled(flow, seed):
        ask = questions(flow)
        parts = []
        for start in range(0, len(x), AT_A_TIME):
            rows = slice(start, start + AT_A_TIME)
            parts.append(ask.complete(x[rows], given[rows], None if context is None else context[rows], gaps))
    return torch.cat(parts) if parts else x


def predictions(flow: Flow, i: int, admitted: Admitted, given: Tensor, seed: int) -> list[Weighted]:
    """The distributions of column i, so many rows at a time."""
    with settled(flow, seed):
        ask = questions(flow)
        found = []
        for start in range(0, len(given), AT_A_TIME // 8):
            rows = slice(start, start + AT_A_TIME // 8)
            context = None if admitted.context is None else admitted.context[rows]
            found.append(ask.predict(i, admitted.x[rows].nan_to_num(nan=torch.nan, posinf=torch.nan), given[rows], context))
    return found


@dataclass(frozen=True)
class ByColumn:
    """What a model knows of one column.

    Attributes:
        column: its name.
        nats: mean log-likelihood given the columns before it: over all columns these add up to that of the rows. A gap that is not
            modelled counts 0, here and below.
        alone: without any other column.
        given_others: given all other columns.
        rows: how many had a value that is possible.
    """

    column: str
    nats: float
    alone: float
    given_others: float
    rows: int

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold: infinite numbers become None."""
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in vars(self).items()}


def by_column(flow: Flow, schema: Schema, x: Tensor, context: Tensor | None, seed: int = 0) -> list[ByColumn]:
    """Nats per column: in the chain, alone, and given all others."""
    with settled(flow, seed):
        ask = questions(flow)
        none, every = torch.zeros(x.shape, dtype=torch.bool), torch.ones(x.shape, dtype=torch.bool)
        chain, others = ask.terms(x, none, every, context), ask.others(x, context)
        alone = []
        for i in range(x.shape[1]):
            asked = none.clone()
            asked[:, i] = True
            alone.append(ask.terms(x, none, asked, context)[:, i])
    found = []
    for i, name in enumerate(schema.names):
        ok = chain[:, i].isfinite() & others[:, i].isfinite() & alone[i].isfinite()
        inside, by_itself, outside = (float(t[ok].mean()) if ok.any() else float("-inf") for t in (chain[:, i], alone[i], others[:, i]))
        found.append(ByColumn(name, inside, by_itself, outside, int(ok.sum())))
    return found


def imputed(flow: Flow, schema: Schema, source: Source, draws: int, how: str, seed: int) -> pa.Table:
    """The table with its gaps filled, ``draws`` times one below the other."""
    admitted = admit(schema, source, optional=True)
    there = [i for i, name in enumerate(schema.names) if name in source.table.column_names]
    given = admitted.known & ~admitted.x.isinf()
    tables = []
    for draw in range(draws):
        if how == "draw":
            x = completed(flow, torch.where(given, admitted.x, torch.nan), given, admitted.context, seed + draw)
        else:
            x = _middle(flow, schema, admitted, given, there, seed)
        decoded, table = schema.decode(x), source.table
        for i in there:
            name, column = schema.names[i], decoded[schema.names[i]]
            gap = pa.array((admitted.x[:, i].isnan()).numpy())
            at = table.column_names.index(name)
            filled = _filled(table[name], gap, column)
            table = table.set_column(at, name, filled)
        tables.append(table if draws == 1 else table.append_column("draw", pa.array(np.full(len(x), draw))))
    return pa.concat_tables(tables)


def _middle(flow: Flow, schema: Schema, admitted: Admitted, given: Tensor, there: Sequence[int], seed: int) -> Tensor:
    """Medians of numbers and the most probable categories, each given what is known of its row."""
    x = admitted.x.clone()
    for i in there:
        gap = x[:, i].isnan()
        if gap.any():
            rows = gap.nonzero().squeeze(1)
            context = None if admitted.context is None else admitted.context[rows]
            found = predictions(flow, i, Admitted(admitted.x[rows], context, []), given[rows], seed)
            ordered = schema.columns[i].kind.support().ordered
            x[rows, i] = torch.cat([w.quantile(0.5) if ordered else w.mode() for w in found])
    return x


def _filled(values: pa.ChunkedArray, gap: pa.Array, drawn: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values with what was drawn in their gaps, in their own type where that holds it."""
    plain = drawn.cast(values.type) if values.type != drawn.type and not pa.types.is_null(values.type) else drawn
    return pc.if_else(gap, plain, values.cast(plain.type))


def predicted(flow: Flow, schema: Schema, source: Source, name: str, levels: Sequence[float], seed: int) -> pa.Table:
    """The table with what the other columns say of one: mean and quantiles of a number, shares of categories, and what was there."""
    (i,) = columns_of("predict", schema, [name])
    admitted, column = admit(schema, source, optional=True), schema.columns[i]
    given = admitted.known & ~admitted.x.isinf()
    given[:, i] = False
    found, kind, table = predictions(flow, i, admitted, given, seed), without_gaps(column.kind), source.table
    added: dict[str, pa.Array | pa.ChunkedArray] = {}
    if column.kind.support().ordered:
        values = kind.decode(found[0].values[0].numpy()) if found else pa.array([], pa.float64())
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
            means = [(w.weights * _numbers(kind, w.values)).sum(1) for w in found]
            added[f"{name}_mean"] = pa.array(torch.cat(means).numpy()) if means else pa.array([], pa.float64())
        for level in levels:
            added[f"{name}_q{100 * level:g}"] = kind.decode(torch.cat([w.quantile(level) for w in found]).numpy()) if found else values
    else:
        added[f"{name}_mode"] = kind.decode(torch.cat([w.mode() for w in found]).numpy()) if found else pa.array([], pa.string())
        shares = torch.cat([_shares(w, len(column.vocabulary or ())) for w in found]) if found else torch.zeros(0, 0)
        for code, label in enumerate((column.vocabulary or ())[:MOST_SHARES]):
            added[f"p_{label}"] = pa.array(shares[:, code].numpy())
    if name in table.column_names:
        with settled(flow, seed):
            asked = torch.zeros_like(given)
            asked[:, i] = admitted.known[:, i]
            log_p = questions(flow).terms(admitted.x, given, asked, admitted.context)[:, i]
        added[f"{name}_log_density"] = pa.array(log_p.numpy(), mask=(~asked[:, i]).numpy())
    for key, values in added.items():
        if key in table.column_names:
            raise ValueError(f"predict: {source.name} already has a column {key!r}; rename or drop it")
        table = table.append_column(key, values)
    return table


def _numbers(kind: Kind, values: Tensor) -> Tensor:
    """Encoded numbers as those of the data."""
    flat = kind.decode(values.flatten().numpy()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.copy()).view(values.shape)


def _shares(w: Weighted, labels: int) -> Tensor:
    """The weights of codes 0..labels-1, ``(B, labels)``."""
    codes = w.values.round().long().clamp(0, labels - 1).expand(len(w.weights), -1)
    return torch.zeros(len(w.weights), labels, dtype=w.weights.dtype).scatter_add_(1, codes, w.weights)
