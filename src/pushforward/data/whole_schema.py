"""What schemas of whole numbers share: a context of labels, nothing that is done outside of the flow, one way to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self

import pyarrow as pa
from torch import Tensor, nn

from ..core import Transform
from ..documents import validated
from . import preprocess
from .column import Column
from .errors import DataError
from .schema import VERSION, Schema, columns_from_json


class WholeSchema:
    """Whole numbers ``0..levels-1`` of one shape, and the labels that a model of them is conditioned on.

    Attributes:
        shape: of an event, channels first.
        levels: values of a number.
        context: columns of labels; text and whole numbers are codes of a vocabulary, as in :class:`Schema`.
        data: what they are, in the file and in an error.
    """

    data: ClassVar[str]
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

    def check(self) -> None:
        """Raise DataError if a schema, as somebody described it, can't be one."""
        raise NotImplementedError(f"{type(self).__name__} does not define check")

    def to_json(self) -> dict[str, Any]:
        """The schema as what JSON can hold, without loss; ``"data"`` tells it from others."""
        described = asdict(replace(self, context=[])) | {"context": [column.to_json() for column in self.context]}  # type: ignore[type-var, call-overload]
        return {"data": self.data, "version": VERSION} | described

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The schema that :meth:`to_json` described.

        Raises:
            DataError: it is not one.
        """
        try:
            described = validated(dict[str, Any], value, cls.__name__)
            context = columns_from_json(described.get("context", []))
            found = replace(validated(cls, described | {"context": []}, cls.__name__), context=context)  # type: ignore[type-var]
        except ValueError as error:
            raise DataError(f"not the description of {cls.data} ({error})") from None
        found.check()
        return found

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
