"""What a set of images means: their shape and levels, how they are read, and the labels a model is conditioned on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .column import Column
from .errors import DataError
from .whole_schema import WholeSchema

MOST = 2**28  # numbers of an image


@dataclass(frozen=True)
class ImageSchema(WholeSchema):
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

    data: ClassVar[str] = "images"
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

    def check(self) -> None:
        sizes = (*self.shape, *(self.size or ()))
        if min(sizes) < 1 or self.dim > MOST or not 2 <= self.levels <= 2**16 or not 0 <= self.shift < 8:
            raise DataError(f"not the description of images: {self.levels} levels, shape {self.shape}, size {self.size}")
