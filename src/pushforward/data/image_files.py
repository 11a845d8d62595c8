"""Where images come from: Parquet in the Hub's layout, folders, arrays; each opened as an :class:`ImageSource`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..words import listing
from .arrays import exact
from .compute import pc
from .errors import DataError, reading
from .formats import parquet_batches, read_array, read_arrays
from .pixels import Encoded
from .scratch import held

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
TABLES = (".parquet", ".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".arrow", ".feather", ".gz", ".zst")  # what else a folder may be of
SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "test": "test"}
ROWS = 1024  # of a Parquet file at a time


@dataclass(frozen=True)
class ImageSource:
    """Images that can be read, with their labels.

    Attributes:
        name: what to call them in messages.
        rows: how many.
        labels: a table of one row for each image; without columns if there are none.
        encoded: goes through the images as files; None if there are pixels.
        pixels: ``(N, C, H, W)`` uint8; None if they are encoded.
        places: file names, where they have such.
        levels: values of a pixel.
        notes: what was passed over.
    """

    name: str
    rows: int
    labels: pa.Table
    encoded: Callable[[], Iterable[Encoded]] | None = None
    pixels: np.ndarray | None = None
    places: list[str] | None = None
    levels: int = 256
    notes: list[str] = field(default_factory=list)


def image_column(schema: pa.Schema) -> str | None:
    """The first column that holds images in the Hub's layout, a struct with ``bytes``; None if there is none."""
    for column in schema:
        if pa.types.is_struct(column.type):
            kinds = {inner.name: inner.type for inner in column.type}
            if "bytes" in kinds and (pa.types.is_binary(kinds["bytes"]) or pa.types.is_large_binary(kinds["bytes"])):
                return column.name
    return None


def from_parquet(paths: Sequence[Path], name: str | None = None) -> ImageSource:
    """Parquet files in the Hub's layout, as one.

    Raises:
        DataError: a file is missing, broken, of other columns than the first, or without images.
    """
    name = name or (paths[0].name if len(paths) == 1 else f"{paths[0].parent.name} ({len(paths)} files)")
    schemas = [_schema(path) for path in paths]
    column = image_column(schemas[0])
    if column is None:
        raise DataError(
            f"{paths[0]}: has no column of images (a struct with 'bytes', the Hub's layout); it has {listing(schemas[0].names)}"
        )
    kept = [c.name for c in schemas[0] if c.name != column and _is_label(c.type)]
    for path, schema in zip(paths, schemas):
        if any(wanted not in schema.names for wanted in (column, *kept)):
            raise DataError(f"{path}: has columns {listing(schema.names)}, unlike {paths[0].name}; give files of one data set")
    tables = [pa.Table.from_batches(parquet_batches(path, ROWS, kept)) for path in paths] if kept else []
    labels = named_labels(pa.concat_tables(tables), schemas[0].metadata) if kept else pa.table({})
    rows = sum(pq.read_metadata(path).num_rows for path in paths)

    def pieces() -> Iterator[tuple[str, int, pa.Array]]:
        for path in paths:
            start = 0
            for batch in parquet_batches(path, ROWS, [column]):
                yield path.name, start, batch.column(column)
                start += len(batch)

    return ImageSource(name, rows, labels, encoded=lambda: structs(pieces()), places=_places(pieces()))


def from_table(name: str, table: pa.Table) -> ImageSource:
    """An Arrow table in the Hub's layout."""
    column = image_column(table.schema)
    assert column is not None
    kept = [c.name for c in table.schema if c.name != column and _is_label(c.type)]

    def pieces() -> Iterator[tuple[str, int, pa.Array]]:
        start = 0
        for chunk in table[column].chunks:
            yield name, start, chunk
            start += len(chunk)

    labels = named_labels(table.select(kept), table.schema.metadata)
    return ImageSource(name, table.num_rows, labels, encoded=lambda: structs(pieces()), places=_places(pieces()))


def from_folder(path: Path) -> dict[str, ImageSource]:
    """A folder of images or of Parquet files; its sub-folders are splits if they are called so, else labels.

    Raises:
        DataError: there is nothing to read in it.
    """
    inside = sorted(p for p in path.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(path).parts))
    images = [p for p in inside if p.suffix.lower() in ENDINGS]
    tables = [p for p in inside if p.suffix.lower() == ".parquet"]
    if not images and not tables:
        raise DataError(f"{path}: holds neither images ({listing(ENDINGS)}) nor .parquet files; check the folder")
    if not images:
        groups = _grouped(tables, lambda p: SPLITS.get(p.stem.partition("-")[0].partition("_")[0].lower()))
        return {split: from_parquet(found, f"{path.name}/{split}" if len(groups) > 1 else path.name) for split, found in groups.items()}
    others = len(inside) - len(images)
    notes = [f"{others:,} other file{'s' * (others > 1)} in {path.name} passed over."] if others else []
    groups = _grouped(images, lambda p: SPLITS.get(p.relative_to(path).parts[0].lower()) if p.parent != path else None)
    if len(groups) == 1:
        return {"train": _folder(path, images, notes)}
    return {split: _folder(_top(path, found[0]), found, notes) for split, found in groups.items()}


def from_array(name: str, x: np.ndarray, labels: pa.Table | None = None) -> ImageSource:
    """Whole numbers ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)``; truth values have two levels, all others 256.

    Raises:
        DataError: other shapes, fractions, or numbers outside 0..255.
    """
    x = exact(name, x)
    if np.ma.is_masked(x):
        raise DataError(f"{name}: images have no missing pixels, and some of these are masked; fill them in")
    x = np.asarray(x)
    if x.dtype.kind not in "bui":
        raise DataError(f"{name}: images are whole numbers from 0 to 255, got {x.dtype}; multiply by 255 if they lie in [0, 1], and round")
    if x.ndim not in (3, 4):
        raise DataError(f"{name}: expected images of shape (N, H, W), (N, C, H, W) or (N, H, W, C), got {x.shape}; reshape them")
    notes = []
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[1] > 4:
        if x.shape[3] > 4:
            raise DataError(f"{name}: expected the channels of {x.shape} on axis 1 or 3, at most 4 of them; move them there")
        x = x.transpose(0, 3, 1, 2)
    elif x.shape[3] <= 4:
        notes.append(f"The shape {x.shape} was read as (N, C, H, W).")
    if x.dtype != np.uint8 and x.size and (x.min() < 0 or x.max() > 255):
        raise DataError(f"{name}: images are whole numbers from 0 to 255, got {x.min()} to {x.max()}; rescale them")
    pixels = np.asarray(x, np.uint8)
    return ImageSource(name, len(x), labels or pa.table({}), pixels=pixels, levels=2 if x.dtype == bool else 256, notes=notes)


def from_npz(path: Path) -> ImageSource:
    """An .npz file with one array of images, and vectors of as many labels."""
    arrays = read_arrays(path)
    images = [key for key, array in arrays.items() if array.ndim >= 3]
    if len(images) != 1:
        raise DataError(f"{path}: expected one array of images, got {listing(images) or 'none'}; write one, and labels beside it")
    x = arrays.pop(images[0])
    labels = {key: pa.array(array) for key, array in arrays.items() if array.ndim == 1 and len(array) == len(x)}
    return from_array(path.name, x, pa.table(labels))


def named_labels(table: pa.Table, metadata: dict[bytes, bytes] | None) -> pa.Table:
    """The table with codes replaced by their names, where the Hub's metadata have them; a code without a name is missing."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        known_names = {name: features[name]["names"] for name in table.column_names if "names" in (features.get(name) or {})}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # other metadata than the Hub's
        known_names = {}
    for i, name in enumerate(table.column_names):
        names = known_names.get(name)
        if isinstance(names, list) and all(isinstance(word, str) for word in names) and pa.types.is_integer(table[name].type):
            codes = table[name]
            known = pc.and_(pc.greater_equal(codes, 0), pc.less(codes, len(names)))
            words = pa.array(names, pa.string()).take(pc.if_else(known, codes, None).cast(pa.int64()).combine_chunks())
            table = table.set_column(i, name, pa.chunked_array([words]))
    return table.replace_schema_metadata(None)


def structs(pieces: Iterable[tuple[str, int, pa.Array]]) -> Iterator[Encoded]:
    """Images out of the Hub's structs; the pieces are ``(file, number of the first row, array)``."""
    for name, start, array in pieces:
        for i, value in enumerate(array.field("bytes").to_pylist(), start):
            if value is None:
                raise DataError(f"{name}: row {i} (the first row is 0) holds no image; drop it, or write the image's bytes into it")
            yield f"{name}: row {i} (the first row is 0)", value


def _places(pieces: Iterable[tuple[str, int, pa.Array]]) -> list[str] | None:
    """The paths within the structs, if all of them have one."""
    found: list[str | None] = []
    for _, _, array in pieces:
        if "path" not in [inner.name for inner in array.type]:
            return None
        found += array.field("path").to_pylist()
        if None in found[-len(array) :]:
            return None
    return [str(place) for place in found]


def _schema(path: Path) -> pa.Schema:
    if not path.is_file():
        raise DataError(f"load: there is no file {path}; check the path")
    with reading(f"load: {path}", ".parquet"):
        schema = pq.read_schema(path)
        schema.names  # noqa: B018 -- names that are no text are refused here
        return schema


def _is_label(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_floating)
    return any(test(kind) for test in tests)


def _grouped(paths: list[Path], split: Callable[[Path], str | None]) -> dict[str, list[Path]]:
    """Paths by split; all under ``train`` unless every one belongs to a split, and some to ``train``."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(split(path) or "", []).append(path)
    if "" in groups or "train" not in groups:
        return {"train": paths}
    return groups


def _top(root: Path, path: Path) -> Path:
    """The folder below the root that a path is in."""
    return root / path.relative_to(root).parts[0]


def _folder(root: Path, images: list[Path], notes: list[str]) -> ImageSource:
    """Images below a folder, labelled by the sub-folder that they are in."""
    places = [p.relative_to(root).as_posix() for p in images]
    sub = [place.partition("/")[0] if "/" in place else None for place in places]
    labels = pa.table({})
    if None not in sub:
        labels = pa.table({"label": pa.array(sub)})
    elif any(sub):
        notes = [*notes, f"Some images of {root.name} lie in sub-folders and some do not: no labels were taken from the folders' names."]
    return ImageSource(root.name, len(images), labels, encoded=lambda: [(str(p), p) for p in images], places=places, notes=list(notes))


def open_image_file(path: Path) -> ImageSource:
    """A .parquet, .npy or .npz file of images."""
    if path.suffix.lower() == ".parquet":
        return from_parquet([path])
    if not path.is_file():
        raise DataError(f"load: there is no file {path}; check the path")
    with reading(f"load: {path}", path.suffix):
        return from_npz(path) if path.suffix.lower() == ".npz" else from_array(path.name, read_array(path, held()))


def holds_images(path: Path) -> bool:
    """Whether a file or folder is one of images, by its header."""
    ending = path.suffix.lower()
    if path.is_dir():
        return _folder_of_images(path)
    if not path.is_file() or ending not in (".parquet", ".npy", ".npz"):
        return False
    try:
        if ending == ".parquet":
            return image_column(pq.read_schema(path)) is not None
        if ending == ".npy":
            return _is_images(np.load(path, mmap_mode="r", allow_pickle=False))
        with np.load(path, allow_pickle=False) as file:
            return any(_is_images(file[key]) for key in file.files)
    except Exception:  # what is wrong with it is said when it is read
        return False


def _folder_of_images(path: Path) -> bool:
    """Whether there is an image in a folder, or images are in its first Parquet file; an empty one is none of tables."""
    first = None
    for inside in path.rglob("*"):
        ending = inside.suffix.lower()
        if ending in ENDINGS:
            return True
        if first is None and ending in TABLES and inside.is_file():
            first = inside
    return first is None or holds_images(first)


def _is_images(x: Any) -> bool:
    return x.ndim >= 3 and x.dtype.kind in "bui"
