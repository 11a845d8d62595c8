"""Pairs of columns of any kinds: those that depend on each other most, in the data and in samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Patch

from .levels import Levels, few
from .style import DATA, DATA_MAP, MODEL, MODEL_MAP, PAPER, edges, figure, label_axis, number, shorten, span, style
from .tables import telling

BANDS = 10  # of equal shares of a column, for how much two of them depend on each other
COMPARED = 60  # columns whose pairs are compared
WORDS_ACROSS = 8  # that stand below an axis
SQUARES = 24  # to a side of a picture of two columns of numbers


def bands(x: np.ndarray, column: Any, like: np.ndarray) -> np.ndarray:
    """Whole numbers ``(n,)`` that say where a value lies: its place among the most frequent ones, or tenths of the rows ``like``."""
    if few(column):
        return Levels.of(column, like, BANDS).places(x)
    inner = like[np.isfinite(like)]
    cuts = np.unique(np.quantile(inner, np.linspace(0, 1, BANDS + 1)[1:-1])) if len(inner) else np.zeros(0)
    return np.where(np.isnan(x), len(cuts) + 1, np.searchsorted(cuts, x))


def information(a: np.ndarray, b: np.ndarray) -> float:
    """The mutual information of two columns of whole numbers ``(n,)``, in nats, less what chance alone makes (Miller, 1955)."""
    if not len(a):
        return 0.0
    size = int(b.max()) + 1
    table = np.bincount(a * size + b, minlength=size * (int(a.max()) + 1)).reshape(-1, size) / len(a)
    first, second = table.sum(1), table.sum(0)
    expected = np.outer(first, second)
    found = float((table[table > 0] * np.log(table[table > 0] / expected[table > 0])).sum())
    return max(0.0, found - ((first > 0).sum() - 1) * ((second > 0).sum() - 1) / (2 * len(a)))


def dependent(x: np.ndarray, columns: Sequence[Any], most: int = 6) -> list[tuple[int, int]]:
    """The pairs of columns with the most mutual information, which counts half for each time that one of them is shown already."""
    places = np.stack([bands(x[:, i], column, x[:, i]) for i, column in enumerate(columns)], 1)
    found = {(i, j): information(places[:, i], places[:, j]) for i, j in combinations(telling(places, COMPARED), 2)}
    shown: list[tuple[int, int]] = []
    while found and len(shown) < most:
        pair = max(found, key=lambda pair: found[pair])
        shown.append(pair)
        del found[pair]
        found = {other: value / 2 ** len({*pair} & {*other}) for other, value in found.items()}
    return shown


@style()
def mixed_pairs(x: np.ndarray, samples: np.ndarray, columns: Sequence[Any], shown: Sequence[tuple[int, int]]) -> Figure:
    """Pairs of columns, data in blue and samples in vermilion; x and samples ``(n, D)``, NaN where a value is missing.

    Two categories: the shares of one within each value of the other. A category and a number: its median, the middle half and the
    middle nine tenths. Two numbers: where the rows lie. Above: mutual information, of both columns in ten bands.
    """
    down = -(-len(shown) // 2)
    picture = figure(10.5 if len(shown) > 1 else 5.6, 0.4 + 2.7 * down, gap=0.03)
    grid = picture.add_gridspec(down, 4 if len(shown) > 1 else 2)
    for place, (i, j) in enumerate(shown):
        pair = sorted((i, j), key=lambda k: (not few(columns[k]), -(columns[k].levels or 0)))  # categories first, those of more values
        here, both = [columns[k] for k in pair], (x[:, pair], samples[:, pair])
        line, side = place // 2, 2 * (place % 2)
        if few(here[0]) and not few(here[1]):
            axes = [picture.add_subplot(grid[line, side : side + 2])]
            _quantiles(axes[0], *both, here)
        else:
            axes = _two(picture, grid, line, side)
            (_shares if few(here[0]) else _clouds_of)(axes, both, here)
        axes[0].set_title(f"{shorten(here[0].name, 15)} × {shorten(here[1].name, 15)}", fontsize=10)
        figures = [information(*(bands(rows[:, k], here[k], x[:, pair[k]]) for k in (0, 1))) for rows in both]
        words = " | ".join(number(value, 2) for value in figures)
        axes[-1].set_title(f"{words} nats", loc="right", fontsize=8.5, fontweight="normal", pad=3)
    handles = [Patch(color=DATA, label="data"), Patch(color=MODEL, label="samples")]
    picture.legend(handles=handles, loc="outside upper left", ncols=2)
    return picture


def _two(picture: Figure, grid: GridSpec, line: int, side: int) -> list[Any]:
    first = picture.add_subplot(grid[line, side])
    second = picture.add_subplot(grid[line, side + 1], sharex=first, sharey=first)
    second.tick_params(left=False, labelleft=False)
    return [first, second]


def _shares(axes: Sequence[Any], both: Sequence[np.ndarray], columns: Sequence[Any]) -> None:
    """Heat maps of the shares of the second column within each value of the first."""
    rows, across = Levels.of(columns[0], both[0][:, 0]), Levels.of(columns[1], both[0][:, 1], WORDS_ACROSS)
    for ax, values, paint in zip(axes, both, (DATA_MAP, MODEL_MAP)):
        counts = np.zeros((len(rows.names), len(across.names)))
        np.add.at(counts, (rows.places(values[:, 0]), across.places(values[:, 1])), 1)
        ax.pcolormesh(counts / counts.sum(1, keepdims=True).clip(1), cmap=paint, norm=PowerNorm(0.7, 0, 1), edgecolors=PAPER, linewidth=0.6)
        ax.set_xlabel(shorten(columns[1].name))
        ax.tick_params(length=0)
        slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, across.names)) > 20 else {}
        ax.set_xticks(np.arange(len(across.names)) + 0.5, [shorten(name, 12) for name in across.names], fontsize=7.5, **slanted)
    axes[0].set_yticks(np.arange(len(rows.names)) + 0.5, [shorten(name, 14) for name in rows.names], fontsize=7.5)
    axes[0].set_ylim(len(rows.names), 0)


def _quantiles(ax: Any, x: np.ndarray, samples: np.ndarray, columns: Sequence[Any]) -> None:
    """Of each category, where the numbers lie."""
    levels = Levels.of(columns[0], x[:, 0])
    inside = [0.0] if not np.isfinite(x[:, 1]).any() else []
    for rows, color, shift in ((x, DATA, -0.17), (samples, MODEL, 0.17)):
        places = levels.places(rows[:, 0])
        for place in range(len(levels.names)):
            values = rows[places == place, 1]
            values = values[np.isfinite(values)]
            if not len(values):
                continue
            low, first, middle, third, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
            inside += [low, high]
            ax.hlines(place + shift, low, high, color=color, linewidth=0.9)
            ax.hlines(place + shift, first, third, color=color, linewidth=3.6, capstyle="butt")
            ax.plot(middle, place + shift, "o", color=PAPER, markersize=3, markeredgecolor=color, markeredgewidth=0.9)
    ax.set_ylim(len(levels.names) - 0.5, -0.5)
    ax.set_yticks(np.arange(len(levels.names)), [shorten(name, 14) for name in levels.names], fontsize=7.5)
    ax.tick_params(axis="y", length=0)
    margin = 0.03 * (max(inside) - min(inside)) or 0.5
    ax.set_xlim(min(inside) - margin, max(inside) + margin)
    label_axis(ax, "x", columns[1], ticks=6)


def _clouds_of(axes: Sequence[Any], both: Sequence[np.ndarray], columns: Sequence[Any]) -> None:
    """Heat maps of two columns of numbers, in the data's scale."""
    spans = [span(both[0][:, k], columns[k]) for k in (0, 1)]
    bins = [edges(*spans[k], columns[k].discrete, SQUARES) for k in (0, 1)]
    whole = [rows[np.isfinite(rows).all(1)] for rows in both]
    found = [np.histogram2d(rows[:, 0], rows[:, 1], bins)[0] / max(1, len(rows)) for rows in whole]
    top = float(np.percentile(found[0][found[0] > 0], 99)) if (found[0] > 0).any() else 1.0
    for ax, heights, paint in zip(axes, found, (DATA_MAP, MODEL_MAP)):
        ax.pcolormesh(*bins, np.ma.masked_equal(heights.T, 0), cmap=paint, norm=PowerNorm(0.5, 0, top, clip=True), rasterized=True)
        ax.set_xlim(*spans[0])
        ax.set_ylim(*spans[1])
        label_axis(ax, "x", columns[0], ticks=3)
    label_axis(axes[0], "y", columns[1], ticks=4)
