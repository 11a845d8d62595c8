"""From a source of images to train, validation and test splits with a schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..words import nearest
from .embedded import EMBEDDED
from .errors import DataError
from .hub import HUB, from_hub
from .image_files import (
    ImageSource,
    from_array,
    from_folder,
    from_parquet,
    from_table,
    holds_images,
    image_column,
    open_image_file,
)
from .image_schema import ImageSchema
from .labels import check_labels, label_column, told_labels
from .load import FEWEST, Data
from .pixels import Framing, decode, refit
from .query import is_query
from .rows import Rows
from .scratch import in_a_file
from .splits import split_rows
from .stored_images import merged, spread


@dataclass(frozen=True)
class Images:
    """Images that have been read: ``x`` (N, C, H, W) uint8, a table of labels, file names where there are such, and what to tell.

    Where ``x`` is in a file on disk, nobody else has it.
    """

    name: str
    x: Tensor
    labels: pa.Table
    places: list[str] | None
    notes: list[str]
    on_disk: bool = False


def is_images(source: Any) -> bool:
    """Whether a source holds images by what it is: a folder, a file or table in the Hub's layout, integers of 3 axes, a name of the Hub.

    ``digits`` is a table as well, and counts as one here. Cost: the header of a file.
    """
    if is_query(source):
        return False
    if isinstance(source, str | Path):
        path = Path(source)
        return holds_images(path) or (not path.exists() and (str(source) in HUB or any(map(holds_images, _matches(str(source))[:1]))))
    if isinstance(source, list | tuple):
        return bool(source) and all(isinstance(item, str | Path) for item in source) and holds_images(Path(source[0]))
    if isinstance(source, np.ndarray):
        return source.ndim >= 3 and source.dtype.kind in "bui"
    if isinstance(source, Tensor):
        return source.dim() >= 3 and not source.is_floating_point()
    return isinstance(source, pa.Table) and image_column(source.schema) is not None


def load_images(
    source: Any,
    *,
    context: str | Sequence[str] | None = None,
    bits: int = 8,
    size: int | tuple[int, int] | None = None,
    crop: str | int | None = None,
    gray: bool = False,
    valid: Any = None,
    test: Any = None,
    seed: int = 0,
) -> Data:
    """Images from a folder, file, array or name, as whole numbers, split and described.

    Splits are those of :func:`load`: without ``valid`` and ``test`` the images are shuffled by ``seed`` and the last two tenths are
    cut off; what is given for one of them, or what a folder or a data set of the Hub has as such, is taken whole. More than two
    gigabytes of pixels are decoded to a file on disk, which training reads window by window; of these at most 10,000 are held out
    for each split.

    Arguments:
        source: a folder of images (sub-folders are labels, or splits if called train, valid, test) or of Parquet files; Parquet in the
            Hub's layout, one path, a list, or a pattern with ``*``; .npy or .npz; an array, tensor or Arrow table; ``digits``; a name of
            the Hub (``HUB``), for which there must be a network.
        context: labels to condition on.
        bits: of a pixel, 1 to 8; the lower ones are dropped, as Glow does.
        size: to resize to, a side or (H, W).
        crop: what to cut out before: "center", "none" or the side of a centred square; None for "center", or what is usual for a name.
        gray: drop the colours.
        valid, test: further sources for these splits.
        seed: of the shuffle.

    Raises:
        DataError: what is wrong, where, and the remedy, in one sentence.

    Example::

        >>> data = load_images("mnist/train.parquet", test="mnist/test.parquet")
        >>> data.train.x.shape, data.train.x.dtype
        (torch.Size([54000, 1, 28, 28]), torch.uint8)
    """
    if not 1 <= bits <= 8:
        raise DataError(f"load: expected 1 to 8 bits, got {bits}")
    opened = _open(source)
    name = opened["train"].name
    levels = opened["train"].levels
    if levels != 256 and bits != 8:
        raise DataError(f"{name}: has {levels} levels as it is; leave bits out")
    usual = HUB.get(source) if isinstance(source, str) and not Path(source).exists() else None
    size = size or (usual.size if usual else None)
    crop = crop or (usual.crop if usual else "center")
    framing = Framing((size, size) if isinstance(size, int) else size, crop, 1 if gray else None)
    framing.check()
    first = _read(opened["train"], framing)
    shape = (first.x.shape[1], first.x.shape[2], first.x.shape[3])
    names = [context] if isinstance(context, str) else list(context or ())
    columns = [label_column(first.name, first.labels, label) for label in names]
    schema = ImageSchema(shape, levels if bits == 8 else 2**bits, columns, 8 - bits, framing.size, framing.crop, gray)
    rows = rows_of_images(first, schema)
    if len(rows) < FEWEST:
        raise DataError(f"{name}: {len(rows)} images are too few to fit a density; give at least {FEWEST}")
    notes = list(first.notes)
    further: list[Rows | None] = []
    for part, given in (("valid", valid), ("test", test)):
        if given is None and part not in opened:
            further.append(None)
            continue
        read = read_images(opened[part] if given is None else given, schema)
        notes += [note for note in read.notes if note not in notes]
        further.append(rows_of_images(read, schema))
    stored = None
    if first.on_disk:
        many = spread(rows, seed, further.count(None))
        (held_out, final), stored, train = merged(many, further), many.stored, many.sample
        notes.append(many.note)
    else:
        train, held_out, final = split_rows(rows, seed, further)
    lesson = train if stored is None else stored
    if lesson.context is not None:
        measured = [column.measured(lesson.context[:, i].numpy(), name) for i, column in enumerate(columns)]
        schema = replace(schema, context=measured)
    sizes = f"{name}: {len(lesson):,} images to train, {len(held_out):,} to validate, {len(final):,} to test; {_described(schema)}."
    notes = [sizes, *_told(first, schema), *notes, *_doubts(train, schema)]
    return Data(name, schema, train, held_out, final, None, notes, stored)


def read_images(source: Any, schema: ImageSchema, framed: bool = True) -> Images:
    """Images in the shape of a schema, read as it says; of a source with splits the test split, if there is one.

    Without ``framed`` nothing is cut, resized or turned to gray: they have to be of that shape as they are.

    Raises:
        DataError: they can't be read, or are of another shape.
    """
    if isinstance(source, ImageSource):
        opened = source
    else:
        parts = _open(source)
        opened = parts.get("test", parts["train"])
    channels = schema.shape[0] if schema.shape[0] in (1, 3) else None
    read = _read(opened, Framing(schema.size, schema.crop, channels) if framed else Framing(None, "none"))
    if read.x.shape[1:] != schema.shape:
        found = " x ".join(map(str, read.x.shape[1:]))
        raise DataError(f"{read.name}: expected images of {' x '.join(map(str, schema.shape))} (channels, height, width), got {found}")
    if schema.shift == 0 and schema.levels < 256 and len(read.x) and int(read.x.max()) >= schema.levels:
        raise DataError(f"{read.name}: expected levels 0 to {schema.levels - 1}, got {int(read.x.max())}; give images of the same kind")
    return read


def rows_of_images(images: Images, schema: ImageSchema) -> Rows:
    """The rows of a schema: pixels cut to its bits, and the context's codes.

    Raises:
        DataError: a label is missing, or was not there in training.
    """
    x = images.x
    if schema.shift:
        x = x.bitwise_right_shift_(schema.shift) if images.on_disk else x >> schema.shift
    if not schema.context:
        return Rows(x)
    wanted = [column.name for column in schema.context]
    check_labels(images.name, images.labels, wanted)
    return Rows(x, schema.encode_context(images.labels.select(wanted)))


def _open(source: Any) -> dict[str, ImageSource]:
    """The source's splits, at least ``train``."""
    if isinstance(source, str) and source == "digits" and not Path(source).exists():
        return {"train": _digits()}
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            return from_folder(path)
        if not path.exists() and str(source) in HUB:
            return from_hub(str(source))
        found = _matches(str(source))
        if found:
            return {"train": from_parquet(found, path.name)}
        if path.suffix.lower() in (".parquet", ".npy", ".npz"):
            return {"train": open_image_file(path)}
        hint = nearest(str(source), [*HUB, "digits"]) or ";"
        raise DataError(
            f"load: {source} is no source of images{hint} give a folder, .parquet with image bytes, .npy, .npz, an array, "
            f"or a name: digits, {', '.join(HUB)}"
        )
    if isinstance(source, list | tuple) and source and all(isinstance(item, str | Path) for item in source):
        return {"train": from_parquet([Path(item) for item in source])}
    if isinstance(source, Tensor):
        return {"train": from_array("tensor", source.detach().cpu().numpy())}
    if isinstance(source, np.ndarray):
        return {"train": from_array("array", source)}
    if isinstance(source, pa.Table) and image_column(source.schema) is not None:
        return {"train": from_table("table", source)}
    raise DataError(f"load: {type(source).__name__} is no source of images; give a folder, a file, an array, a tensor or the Hub's table")


def _matches(pattern: str) -> list[Path]:
    """The Parquet files that a pattern with ``*`` stands for."""
    if "*" not in pattern or not pattern.endswith(".parquet"):
        return []
    return sorted(Path(pattern).parent.glob(Path(pattern).name))


def _digits() -> ImageSource:
    known = EMBEDDED["digits"]()
    x = np.stack([known.source.table[name].to_numpy() for name in known.columns], 1).reshape(-1, 1, 8, 8)
    labels = pa.table({"label": known.source.table["class"]})
    return ImageSource("digits", len(x), labels, pixels=x.astype(np.uint8), levels=known.levels or 256)


def _read(source: ImageSource, framing: Framing) -> Images:
    if source.pixels is not None:
        x, told = refit(source.name, source.pixels, framing), list[str]()
    else:
        assert source.encoded is not None
        x, told = decode(source.name, source.encoded, framing)
    return Images(source.name, torch.from_numpy(x), source.labels, source.places, [*source.notes, *told], in_a_file(x))


def _described(schema: ImageSchema) -> str:
    channels, height, width = schema.shape
    colours = {1: "gray", 3: "colour"}.get(channels, f"{channels} channels")
    bits = f" ({8 - schema.shift} bits)" if schema.levels == 2 ** (8 - schema.shift) else ""
    return f"{height} x {width}, {colours}, {schema.levels} levels{bits}"


def _told(images: Images, schema: ImageSchema) -> list[str]:
    """What was done to the images, and what labels there are."""
    notes = []
    if schema.size is not None or isinstance(schema.crop, int):
        cut = f"cut to the centred {schema.crop} x {schema.crop} pixels" if isinstance(schema.crop, int) else ""
        resized = "" if schema.size is None else f"resized to {schema.size[0]} x {schema.size[1]}"
        first = "cut to the centre and " if schema.crop == "center" and schema.size else ""
        words = " and ".join(part for part in (cut, first + resized) if part)
        notes.append(f"Images were {words}: figures are those of the images as read.")
    return [*notes, *told_labels(images.labels, schema.context)]


def _doubts(train: Rows, schema: ImageSchema) -> list[str]:
    """What looks as if the images were something else than thought."""
    largest = int(train.x.max())
    if 2 * largest < schema.levels and schema.levels > 2:
        return [f"Warning: the largest value is {largest} of {schema.levels} levels; if the images have fewer bits, their figures mislead."]
    return []
