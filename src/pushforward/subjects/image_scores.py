"""Scoring images one by one, with a picture of the most and the least likely."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from .. import plots
from ..core import Flow
from ..data import ImageSchema, Rows, read_images
from ..data.images import rows_of_images
from ..distributions import Causal, Multiscale
from ..evaluation import entering, log_likelihood, settled
from .files import write_tables
from .scored import Scored, rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..training import Run


def score_images(
    run: Run, schema: ImageSchema, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, **options: int
) -> Scored:
    """A table with a row for each image, and a picture.

    Arguments:
        run: a run of images.
        schema: of them.
        data: the images.
        out: the table's file.
        figure: the picture's (``_pixels`` beside it shows where the bits go, of a model that draws pixel after pixel); without it ``out``
            with the ending .png, without either there is none.
        quantiles: of the training images' log-likelihoods.
        options: of :func:`log_likelihood`.

    Raises:
        ValueError: the images don't fit the run, or a file that can't be written.
    """
    picture = out.with_suffix(".png") if figure is None and out is not None else figure
    if picture is not None and picture.suffix.lower() != ".png":
        raise ValueError(f"score: can't draw to {picture}; give a file that ends in .png")
    if picture is not None and not picture.parent.is_dir():
        raise ValueError(f"score: there is no folder {picture.parent} to write {picture.name} to; make it first")
    images = read_images(data, schema)
    rows = rows_of_images(images, schema)
    values = log_likelihood(run.flow, rows, **options).numpy()
    percentile, unusual = rank(values, quantiles)
    table = pa.table({"image": pa.array(images.places if images.places is not None else np.arange(len(rows)))})
    taken = ("image", "log_likelihood", "bits_per_dim", "percentile", "unusual")
    for name in images.labels.column_names:
        table = table.append_column(f"{name}_" if name in taken else name, images.labels[name])
    bits = -values / (schema.dim * math.log(2))
    for name, column in zip(taken[1:], (values, bits, percentile, unusual)):
        table = table.append_column(name, pa.array(column))
    if out is not None:
        write_tables(out, [table])
    pixels = None
    if picture is not None:
        plots.save(plots.extremes(rows.x.numpy(), values, schema.shape, 0.0, schema.levels - 1.0, bits=True), picture)
        if isinstance(run.flow.base, Causal | Multiscale):
            pixels = picture.with_stem(f"{picture.stem}_pixels")
            plots.save(_pixels(run.flow, run.flow.base, rows, values, schema.levels), pixels)
    mean = float(values.mean())
    kept = table if out is None else None
    return Scored(kept, len(rows), 0, int(unusual.sum()), mean, run.flow.kind, -mean / (schema.dim * math.log(2)), picture, pixels=pixels)


def _pixels(flow: Flow, base: Causal | Multiscale, rows: Rows, values: np.ndarray, levels: int) -> Figure:
    """Where the bits of the four most and the four least likely images go."""
    order = np.argsort(-values)
    some = rows.pick(np.unique(np.concatenate([order[:4], order[-4:]])))
    with settled(flow, 0), torch.no_grad():
        x, context = entering(flow, some.x, some.context)
        bits = plots.pixel_bits(base, x, None if context is None else flow.embedding(context))
    at = np.argsort(bits.sum((1, 2)))
    return plots.bits_beside(some.x.numpy()[at], bits[at], levels)
