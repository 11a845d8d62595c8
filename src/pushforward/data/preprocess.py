"""The preprocessing of columns as layers of the flow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from ..core import Transform
from ..transforms import Cast, Columns, Standardize
from ..words import listing
from .column import Column
from .errors import DataError


def layers(columns: Sequence[Column]) -> list[Transform]:
    """Fresh layers from encoded float64 rows to standardized numbers in the nets' dtype.

    Columns go through the layers of their kinds, those of one form together. Then all are standardized by the train split, and cast.

    Raises:
        DataError: a column has gaps, which no flow of the line can take.
    """
    gaps = [column.name for column in columns if column.kind.support().missing]
    if gaps:
        raise DataError(
            f"load: {listing(gaps)} may be missing, which a flow can't take; drop such rows (fit --missing drop), or fit --model any_order"
        )
    formed = sorted((form, i) for i, column in enumerate(columns) if (form := column.kind.form()) is not None)
    parts: list[tuple[list[int], Transform]] = []
    for _, group in groupby(formed, key=lambda pair: pair[0]):
        places = [i for _, i in group]
        kinds = [columns[i].kind for i in places]
        layer = kinds[0].layer(kinds)
        assert layer is not None
        parts.append((places, layer))
    standardize = Standardize([column.mean for column in columns], [column.std for column in columns])
    return [*([Columns(*parts)] if parts else []), standardize, Cast()]


class Embed(nn.Module):
    """Raw context columns ``(N, K)`` as the layers see them ``(N, width)``: categories one-hot, numbers standardized, side by side.

    The output has the dtype of the nets. A code outside the vocabulary gives zeros.

    Example::

        >>> from pushforward.data.kinds import Category, Real, Statistics
        >>> hour = Real(seen=Statistics(mean=12.0, std=4.0))
        >>> embed = Embed([Column("origin", Category(vocabulary=("EWR", "JFK", "LGA"))), Column("hour", hour)])
        >>> embed(torch.tensor([[2.0, 12.0]])).tolist()
        [[0.0, 0.0, 1.0, 0.0]]
    """

    like: Tensor

    def __init__(self, context: Sequence[Column]):
        super().__init__()
        self.words = tuple(len(column.vocabulary) if column.vocabulary else 0 for column in context)
        numbers = [(0.0, 1.0) if column.vocabulary else (column.mean, column.std) for column in context]
        self.standardize = Standardize([mean for mean, _ in numbers], [std for _, std in numbers])
        self.register_buffer("like", torch.empty(0), persistent=False)  # follows .to(dtype) as the nets' parameters do

    @property
    def width(self) -> int:
        """The number of features that come out."""
        return sum(words or 1 for words in self.words)

    def forward(self, context: Tensor) -> Tensor:
        z, _ = self.standardize(context)
        parts = []
        for words, column in zip(self.words, z.split(1, 1), strict=True):
            if words:
                column = (column == torch.arange(words, device=z.device)).to(self.like.dtype)
            parts.append(column.to(self.like.dtype))
        return torch.cat(parts, 1)
