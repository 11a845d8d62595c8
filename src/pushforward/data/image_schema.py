"""What a set of images means: their shape and levels, how they are read, and the labels a model is conditioned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from ..core import Transform
from ..documents import validated
from . import preprocess
from .column import Column
from .errors import DataError
from .schema import VERSION, Schema, columns_from_json

MOST = 2**28  # numbers of an image


@dataclass(frozen=True)
class ImageSchema:
    """Images that a model describes: whole numbers ``0..levels-1`` of shape ``(C, H, W)``, and the labels it is conditioned on.

    Nothing is done to the images outside of the flow: ``layers()`` is empty, and dequantization is the first layer of each recipe.

    Attributes:
        shape: of an image, ``(C, H, W)``.
        levels: values of a pixel; 256 for 8 bits.
        context: columns of labels; text and whole numbers are codes of a vocabulary, as in :class:`Schema`.
        shift: bits dropped from the 8 of a pixel, ``x >> shift``.
        size: what images are resized to, ``(H, W)``; None leaves them as they are.
        crop: what is cut out before: ``"center"`` (the largest centred part of the right proportions), ``"none"``, or the side of a
            centred square in pixels.
        gray: whether colours were asked to be dropped.

    Example::

        >>> schema = load_images("mnist/train.parquet", context=["label"]).schema
        >>> schema.shape, schema.levels, schema.context_shape, schema.context_width
        ((1, 28, 28), 256, 1, 10)
    """

    shape: tuple[int, int, int]
    levels: int = 256
    context: list[Column] = field(default_factory=list)
    shift: int = 0
    size: tuple[int, int] | None = None
    crop: str | int = "center"
    gray: bool = False

    @property
    def dim(self) -> int:
        """Numbers of an image."""
        channels, height, width = self.shape
        return channels * height * width

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

    def layers(self) -> list[Transform]:
        """None: recipes for images take the whole numbers themselves."""
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

    def to_json(self) -> dict[str, Any]:
        """The schema as what JSON can hold, without loss; ``"data": "images"`` tells it from a table's."""
        described = asdict(replace(self, context=[])) | {"context": [column.to_json() for column in self.context]}
        return {"data": "images", "version": VERSION} | described

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ImageSchema:
        """The schema that :meth:`to_json` described.

        Raises:
            DataError: it is not one.
        """
        try:
            described = validated(dict[str, Any], value, "ImageSchema")
            context = columns_from_json(described.get("context", []))
            found = replace(validated(cls, described | {"context": []}, "ImageSchema"), context=context)
        except ValueError as error:
            raise DataError(f"not the description of images ({error})") from None
        sizes = (*found.shape, *(found.size or ()))
        if min(sizes) < 1 or found.dim > MOST or not 2 <= found.levels <= 2**16 or not 0 <= found.shift < 8:
            raise DataError(f"not the description of images: {found.levels} levels, shape {found.shape}, size {found.size}")
        return found


def schema_from_json(value: Mapping[str, Any]) -> Schema | ImageSchema:
    """The schema of a table or of images, by what it says of itself.

    Raises:
        DataError: it is neither.
    """
    images = isinstance(value, Mapping) and value.get("data") == "images"
    return ImageSchema.from_json(value) if images else Schema.from_json(value)
