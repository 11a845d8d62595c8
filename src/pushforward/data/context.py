"""What the user says a conditional run is to be sampled at, as rows of its context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from .image_schema import ImageSchema
from .schema import Schema


def context_rows(schema: Schema | ImageSchema, context: Any) -> torch.Tensor | None:
    """The context's rows as numbers ``(C, K)``."""
    names = [column.name for column in schema.context]
    if isinstance(context, list | tuple) and all(isinstance(row, Mapping) for row in context):
        context = pa.Table.from_pylist([dict(row) for row in context]) if context else None
    none = context is None or (isinstance(context, Mapping | str) and not context)
    if not names:
        if not none:
            raise ValueError("sample: this run was fitted without context; leave it out")
        return None
    if none:
        raise ValueError(f"sample: this run needs a context for {_described(schema)}; give one, as {names[0]}=VALUE")
    if isinstance(context, Mapping):
        unknown = [name for name in context if name not in names]
        absent = [name for name in names if name not in context]
        if unknown or absent:
            raise ValueError(f"sample: expected a context for {_described(schema)}, got {', '.join(map(str, context))}; give just these")
        values = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in context.items()}  # arrays, series
        lists = {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in values.items()}
        rows = max(map(len, lists.values()))
        if any(len(values) not in (1, rows) for values in lists.values()):
            lengths = ", ".join(f"{name} {len(values)}" for name, values in lists.items())
            raise ValueError(f"sample: the context's columns have different lengths ({lengths}); give one value or equally many for each")
        context = pa.table({name: values if len(values) == rows else values * rows for name, values in lists.items()})
    return Schema(schema.context).encode(context)[0]


def _described(schema: Schema | ImageSchema) -> str:
    parts = []
    for column in schema.context:
        words = column.vocabulary
        parts.append(
            column.name + (f" ({', '.join(words[:8])}{', ...' if len(words) > 8 else ''})" if words else f" (a number, {column.kind})")
        )
    return " and ".join(parts)
