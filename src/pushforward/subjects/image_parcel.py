"""Images as codecs take them: whole numbers, with labels beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..compression import Damage, Opened, Parcel, Rival, Unpacking
from ..compression.beside import bytes_to_mask, bytes_to_table, mask_to_bytes, pack, schema_to_text, table_to_bytes, text_to_schema, unpack
from ..compression.rivals import rivals_of_images
from ..data import DataError, ImageSchema, read_images
from ..data.labels import check_labels
from .image_samples import check_image_file, write_images


class ImageParcel(Parcel):
    """Images as they are, of the run's shape and levels, and their labels.

    Arguments:
        schema: of the run.
        data: the images.

    Raises:
        DataError: they can't be read, or would not come back: of another size, or with more levels than the model has.
    """

    def __init__(self, schema: ImageSchema, data: Any):
        images = read_images(data, schema, framed=False)
        self.x, self.labels = _levels(images.x, schema, images.name), images.labels
        wanted = [column.name for column in schema.context]
        check_labels(images.name, images.labels, wanted)
        self.context = schema.encode_context(images.labels.select(wanted)) if wanted else None
        self.misfits, self.size = np.zeros(len(self.x), bool), self.x.numpy().nbytes
        self.notes = list(images.notes)
        self.described = {"kind": "images", "labels": schema_to_text(self.labels.schema)}

    def rivals(self) -> list[Rival]:
        return rivals_of_images(self.x)

    def beside(self, rows: slice, misfits: np.ndarray) -> bytes:
        labels = self.labels.slice(rows.start, rows.stop - rows.start)
        raw = self.x[rows].numpy()[misfits].astype("<u2").tobytes()
        return pack([mask_to_bytes(misfits), table_to_bytes(labels), raw])


@dataclass(frozen=True)
class LabelledImages:
    """Whole numbers ``(N, C, H, W)``, and a table of labels without or with columns."""

    x: np.ndarray
    labels: pa.Table


class ImageUnpacking(Unpacking):
    """Images that come back, with their labels in their order.

    Arguments:
        schema: of the run.
        described: what the file says of them.
    """

    def __init__(self, schema: ImageSchema, described: dict[str, Any]):
        self.schema, self.labels = schema, text_to_schema(described.get("labels"))

    def open(self, beside: bytes, rows: int) -> Opened:
        mask, labels, raw = unpack(beside, 3)
        misfits = bytes_to_mask(mask, rows)
        table = bytes_to_table(labels, self.labels, rows)
        if len(raw) != 2 * self.schema.dim * misfits.sum():
            raise Damage("what stands beside its stream is missing")
        context = None
        if self.schema.context:
            try:
                context = self.schema.encode_context(table.filter(pa.array(~misfits)))
            except DataError as error:
                raise Damage("it has not the labels that the model is given") from error
        return Opened(misfits, context, (table, np.frombuffer(raw, "<u2").reshape(-1, *self.schema.shape)))

    def close(self, opened: Opened, x: Tensor) -> LabelledImages:
        labels, raw = opened.parts
        found = np.empty((len(opened.misfits), *self.schema.shape), np.uint8 if self.schema.levels <= 256 else np.int32)
        found[~opened.misfits], found[opened.misfits] = x.numpy(), raw
        return LabelledImages(found, labels)

    def joined(self, blocks: Sequence[tuple[LabelledImages | None, int]]) -> LabelledImages:
        found = [block for block, _ in blocks if block is not None]
        if not found:
            return LabelledImages(np.empty((0, *self.schema.shape), np.uint8), self.labels.empty_table())
        return LabelledImages(np.concatenate([block.x for block in found]), pa.concat_tables([block.labels for block in found]))

    def write(self, out: Path, data: LabelledImages) -> None:
        write_images(out, data.x, self.schema, data.labels if data.labels.num_columns else None, {1.0: data.x}, 0)

    def check_out(self, out: Path) -> None:
        check_image_file("decompress", out)
        if out.suffix.lower() == ".png":
            raise ValueError(f"decompress: {out} would be one sheet; use .npy, .npz, .parquet, or a folder (a name without ending)")


def _levels(x: Tensor, schema: ImageSchema, name: str) -> Tensor:
    """Pixels as the model's levels, if they come back: 8 bits as they are; of fewer the levels, or what they become in a picture."""
    if len(x) and int(x.max()) < schema.levels:
        return x
    spread = (torch.arange(schema.levels).double() * (255 / max(1, schema.levels - 1))).round().to(torch.uint8)
    levels = x.bitwise_right_shift(schema.shift).long()
    if len(x) and not torch.equal(spread[levels.flatten()], x.flatten()):
        raise DataError(
            f"{name}: has more levels than the {schema.levels} of the run, and what is dropped would not come back; give images of "
            f"{schema.levels} levels, or a run of all bits (fit --bits 8)"
        )
    return levels.to(x.dtype)
