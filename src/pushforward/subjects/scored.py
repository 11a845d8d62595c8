"""What scoring rows gives, and which of them are unusual."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

RARE = 0.1  # percent of the training rows below which a row is unusual


@dataclass
class Scored:
    """The outcome of :func:`score`.

    Attributes:
        table: the rows with the added columns; None if they were written to a file.
        rows: how many; ``missing`` of them have no figures, because a value is missing.
        unusual: how many are less likely than all but 0.1 % of the training rows.
        nats: mean log-likelihood of the possible rows that have figures; NaN if there are none.
        kind: "exact", "bound" or "estimate".
        bits_per_dim: of images and sounds, the mean.
        figure: the picture of the most and the least likely images or sounds, if one was written.
        pixels: the picture of where the bits of images go, of a model that draws pixel after pixel.
        impossible: how many of the unusual rows have a value that can't be, and so a likelihood of zero.
    """

    table: pa.Table | None
    rows: int = 0
    missing: int = 0
    unusual: int = 0
    nats: float = math.nan
    kind: str = "exact"
    bits_per_dim: float | None = None
    figure: Path | None = None
    impossible: int = 0
    pixels: Path | None = None


def rank(log_likelihood: np.ndarray, quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percent of the training rows that are less likely, and whether all but 0.1 % of them are more likely."""
    percentile = np.interp(log_likelihood, quantiles, np.linspace(0, 100, len(quantiles)), left=0.0, right=100.0)
    return percentile, ~(log_likelihood >= np.quantile(quantiles, RARE / 100))  # True for NaN: a row that can't be explained at all
