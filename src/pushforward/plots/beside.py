"""Data beside the samples of several models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from .histograms import gap, marginal
from .images import sheet_of
from .plane import cloud, frame, scale, window
from .style import MODEL, SOFT, bare, edges, figure, number, shorten, style
from .tables import telling

if TYPE_CHECKING:
    from ..data import Column

IMAGES_SHOWN = 36


@style()
def tables_beside(x: np.ndarray, samples: Mapping[str, np.ndarray], columns: Sequence[Column]) -> Figure:
    """Rows of data ``x (n, D)`` beside samples of each model, name -> ``(n, D)``, in the same scale.

    Two columns in the plane; of others the marginals of up to four that hang together most, a line for each model.
    """
    finite = {name: rows[np.isfinite(rows).all(1)] for name, rows in samples.items()}
    return _clouds(x, finite, columns) if len(columns) == 2 else _lines(x, finite, columns)


@style()
def images_beside(x: np.ndarray, samples: Mapping[str, np.ndarray], shape: Sequence[int], levels: int) -> Figure:
    """A sheet of images ``x (n, C, H, W)`` of so many levels beside one of each model, name -> ``(n, C, H, W)``."""
    shown = {"data": x, **samples}
    side = math.ceil(math.sqrt(min(IMAGES_SHOWN, len(x))))
    picture = figure(3.1 * len(shown), 3.0 * shape[1] / shape[2] + 0.4, gap=0.05)
    for ax, (name, rows) in zip(picture.subplots(1, len(shown), squeeze=False)[0], shown.items()):
        sheet = sheet_of(rows[: side**2], shape, 0.0, levels - 1.0, side)
        ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(shorten(name, 24))
        bare(ax)
    return picture


def _clouds(x: np.ndarray, samples: Mapping[str, np.ndarray], columns: Sequence[Column]) -> Figure:
    spans = window(x, columns)
    most = int(np.clip(np.sqrt(len(x)) / 1.6, 30, 140))
    bins = [edges(*ends, column.discrete, most) for ends, column in zip(spans, columns)]
    heights = np.histogram2d(x[:, 0], x[:, 1], bins)[0] / len(x) / np.outer(np.diff(bins[0]), np.diff(bins[1]))
    norm, shown = scale(heights), {"data": x, **samples}
    picture = figure(3.2 * len(shown), 3.7)
    for ax, (name, rows) in zip(picture.subplots(1, len(shown), squeeze=False)[0], shown.items()):
        cloud(ax, rows, spans, columns, norm)
        ax.set_title(shorten(name, 24))
        frame(ax, spans, columns)
    return picture


def _lines(x: np.ndarray, samples: Mapping[str, np.ndarray], columns: Sequence[Column]) -> Figure:
    shown = telling(x, 4)
    picture = figure(max(4.5, 2.5 * len(shown)), 0.6 + 1.75 * len(samples))
    for line, (axes, (name, rows)) in enumerate(zip(picture.subplots(len(samples), len(shown), squeeze=False), samples.items())):
        for ax, i in zip(axes, shown):
            marginal(ax, x[:, i], rows[:, i], columns[i], named=line == len(samples) - 1)
            ax.set_title(
                f"KS {number(gap(x[:, i], rows[:, i], columns[i]), 2)}", loc="right", fontsize=8.5, color=SOFT, fontweight="normal", pad=3
            )
        axes[0].set_ylabel(shorten(name, 20), color=MODEL)
    return picture
