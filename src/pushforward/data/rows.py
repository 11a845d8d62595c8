"""Rows of data as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .schema import Schema


@dataclass(frozen=True)
class Rows:
    """Rows of one split: data ``x`` (N, D) and ``context`` (N, K) in data units, float64, and the rows' weights (N,).

    Images are whole numbers, uint8 ``(N, C, H, W)``. Rows in a file on disk have a ``window``: so many are shuffled together.
    """

    x: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None
    window: int | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def to_table(self, schema: Schema) -> pa.Table:
        """The rows with the schema's names and types, data columns first."""
        table = schema.decode(self.x)
        if self.context is not None:
            context = schema.decode_context(self.context)
            for name in context.column_names:
                table = table.append_column(name, context[name])
        return table

    def pick(self, index: np.ndarray | slice) -> Rows:
        """Some of the rows, by number."""
        at = index if isinstance(index, slice) else torch.from_numpy(index)
        context, weight = (None if part is None else part[at] for part in (self.context, self.weight))
        return Rows(self.x[at], context, weight)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Rows of several splits, one after the other."""
    x, context, weight = ([getattr(part, name) for part in parts if getattr(part, name) is not None] for name in ("x", "context", "weight"))
    return Rows(torch.cat(x), torch.cat(context) if context else None, torch.cat(weight) if weight else None)
