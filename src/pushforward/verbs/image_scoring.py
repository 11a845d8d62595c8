"""Scoring images one by one, with a picture of the most and the least likely."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import plots
from ..data import ImageSchema, read_images
from ..data.images import rows_of_images
from ..evaluation import log_likelihood
from ..training import Run
from .files import write_tables

RARE = 0.1  # percent of the training rows below which a row is unusual


def score_images(
    run: Run, data: Any, out: str | Path | None, figure: str | Path | None, quantiles: np.ndarray, **options: int
) -> tuple[pa.Table, Path | None]:
    """The table of scores, written to ``out`` if given, and where the picture was drawn.

    Arguments:
        run: a run of images.
        data: the images.
        out: the table's file.
        figure: the picture's; without it ``out`` with the ending .png, without either there is none.
        quantiles: of the training images' log-likelihoods.
        options: of :func:`log_likelihood`.

    Raises:
        ValueError: the images don't fit the run, or a file that can't be written.
    """
    schema = run.schema
    assert isinstance(schema, ImageSchema)
    picture = Path(figure) if figure is not None else None if out is None else Path(out).with_suffix(".png")
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
        write_tables(Path(out), [table])
    if picture is not None:
        plots.save(plots.extremes(rows.x.numpy(), values, schema.shape, 0.0, schema.levels - 1.0, bits=True), picture)
    return table, picture


def rank(log_likelihood: np.ndarray, quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percent of the training rows that are less likely, and whether all but 0.1 % of them are more likely."""
    percentile = np.interp(log_likelihood, quantiles, np.linspace(0, 100, len(quantiles)), left=0.0, right=100.0)
    return percentile, ~(log_likelihood >= np.quantile(quantiles, RARE / 100))  # True for NaN: a row that can't be explained at all
