"""What schemas of whole numbers share: a context of labels, and nothing that is done outside of the flow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from ..core import Transform
from . import preprocess
from .column import Column
from .schema import Schema


class WholeSchema:
    """Whole numbers ``0..levels-1`` of one shape, and the labels that a model of them is conditioned on.

    Attributes:
        shape: of an event, channels first.
        levels: values of a number.
        context: columns of labels; text and whole numbers are codes of a vocabulary, as in :class:`Schema`.
    """

    shape: tuple[int, ...]
    levels: int
    context: list[Column]

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
        """Always: ``exp(log_prob)`` is a probability."""
        return True

    def to_json(self) -> dict[str, Any]:
        """The schema as what JSON can hold, without loss."""
        raise NotImplementedError(f"{type(self).__name__} does not define to_json")

    def layers(self) -> list[Transform]:
        """None: recipes for whole numbers take them as they are."""
        return []

    def embed(self) -> nn.Module | None:
        """A fresh net from raw contexts ``(N, context_shape)`` to features ``(N, context_width)``; None without context."""
        return preprocess.Embed(self.context) if self.context else None

    def encode_context(self, table: Any) -> Tensor:
        """The context of a table's rows, float64 ``(N, context_shape)``: codes of labels.

        Raises:
            DataError: a column is missing, or a label was not there in training.
        """
        return Schema(self.context).encode(table)[0]

    def decode_context(self, context: Tensor) -> pa.Table:
        """Context rows ``(N, context_shape)`` as a table of labels."""
        return Schema(self.context).decode(context)
