"""The images that a verb works on: a run's own test images, others by path, or single files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from .. import plots
from ..data import DataError, ImageSchema, Rows, read_images
from ..data.images import Images, rows_of_images
from ..data.tables import IN_MEMORY
from ..latent.passes import check_latent
from ..subjects import ImageSubject
from ..training import Run
from .runs import data_of, load, rows_of, subject_as

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Strip:
    """Rows of images with what stands above the columns and beside the rows.

    Attributes:
        images: whole numbers ``(rows, columns, C, H, W)``.
        levels: values of a pixel.
        columns, rows: the words; empty for none.
        real: the columns that are data, not the model's.
        words: what the strip shows, in a sentence.
    """

    images: np.ndarray
    levels: int
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    real: tuple[int, ...]
    words: str

    def figure(self) -> Figure:
        """The picture; images that are data are framed in blue."""
        return plots.strips(self.images, self.levels, columns=self.columns, rows=self.rows, real=self.real)

    def write(self, out: str | Path | None) -> Strip:
        """Itself, after writing the picture if there is a path."""
        if out is not None:
            plots.save(self.figure(), out)
        return self


def image_run(who: str, run: Run | str | Path, latent: bool = True) -> tuple[Run, ImageSchema]:
    """A run of images and its schema.

    Raises:
        ValueError: it is a run of a table, or has no latent, where one is needed.
    """
    run = load(run)
    schema = subject_as(who, run, ImageSubject).schema
    if latent:
        check_latent(who, run.flow)
    return run, schema


def check_png(who: str, out: str | Path | None) -> None:
    """Raise ValueError unless the path is of a picture that can be written."""
    if out is None:
        return
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{who}: expected a file that ends in .png, got {path}; rename it")
    if not path.parent.is_dir():
        raise ValueError(f"{who}: there is no folder {path.parent} to write {path.name} to; make it first")


def images_of(run: Run, data: Any = None) -> Rows:
    """The run's own test images, or all images of a source, in the run's shape and levels."""
    return data_of(run).test if data is None else rows_of(run, data)


def labelled(run: Run, schema: ImageSchema, data: Any = None) -> tuple[Images, Rows]:
    """All images of a source with whatever labels it has; of the source that the run was fitted to, without one."""
    source = run.request.source if data is None else data
    if isinstance(source, str) and source == IN_MEMORY:
        raise ValueError(f"{run.path}: was fitted to data in memory, which can't be read again; give the data")
    read = read_images(source, schema)
    return read, rows_of_images(read, schema)


def from_files(run: Run, schema: ImageSchema, paths: Sequence[str | Path], context: Tensor | None = None) -> Rows:
    """Image files, cut and resized to the run's shape and levels; ``context`` is one row for all of them.

    Raises:
        DataError: a file is missing or is no image, or the run needs labels, which files have not.
    """
    if schema.context and context is None:
        names = ", ".join(column.name for column in schema.context)
        raise DataError(f"{run.path}: needs {names} of every image, which a file doesn't say; give images with labels as data, and rows")
    found = [Path(path) for path in paths]
    lost = [path for path in found if not path.is_file()]
    if lost:
        raise DataError(f"{lost[0]}: there is no such file; check the path")
    table = pa.table({"image": [{"bytes": path.read_bytes(), "path": str(path)} for path in found]})
    fitting = replace(schema, size=(schema.shape[1], schema.shape[2]), context=[])
    rows = rows_of_images(read_images(table, fitting), fitting)
    return rows if context is None else Rows(rows.x, context[:1].expand(len(rows), -1))


def chosen(who: str, rows: Rows, numbers: Sequence[int]) -> Rows:
    """Some of the images, by number.

    Raises:
        ValueError: there is no such row.
    """
    bad = [number for number in numbers if not 0 <= number < len(rows)]
    if bad:
        raise ValueError(f"{who}: expected rows from 0 to {len(rows) - 1:,}, got {bad[0]}")
    return rows.pick(np.asarray(list(numbers), dtype=np.int64))


def some(rows: Rows, count: int, seed: int) -> list[int]:
    """Numbers of ``count`` images, or as many as there are, drawn by ``seed``."""
    return np.random.default_rng(seed).permutation(len(rows))[:count].tolist()


def label_words(schema: ImageSchema, rows: Rows) -> tuple[str, ...]:
    """What each image is conditioned on, in words; nothing for an unconditional run."""
    if rows.context is None:
        return ()
    table = schema.decode_context(rows.context).to_pylist()
    return tuple(", ".join(str(value) for value in row.values()) for row in table)
