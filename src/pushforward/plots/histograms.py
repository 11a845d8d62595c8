"""Marginals: a histogram for numbers, bars for categories, and what is missing; data filled, samples as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy import stats

from .levels import Levels
from .style import DATA, INK, MODEL, RULE, SOFT, bins_for, edges, figure, label_axis, number, shorten, span, style

NAMED_ROWS = 4  # bars that a panel has room for, at least: fewer are no thicker
LETTER_WIDTH = 0.0042  # of a point's size, as a share of a panel


def gap(a: np.ndarray, b: np.ndarray, column: Any = None) -> float:
    """The largest difference of two samples' probabilities, 0 to 1; missing values count as one value more.

    The Kolmogorov-Smirnov distance, of the distribution functions; of unordered categories the total variation, of any event that can be
    told of the most frequent ones.
    """
    if not (len(a) and len(b)):
        return math.nan
    if column is not None and not column.kind.support().ordered:
        levels = Levels.of(column, a)
        return float(np.abs(levels.shares(a) - levels.shares(b)).sum() / 2)
    a, b = (np.where(np.isnan(x), np.inf, x) for x in (a, b))
    return float(stats.ks_2samp(a, b, method="asymp").statistic)


@style()
def marginals(x: np.ndarray, samples: np.ndarray, columns: Sequence[Any], most: int = 60) -> Figure:
    """Each column by itself, data filled and samples as a line; x and samples ``(n, D)``, NaN where a value is missing.

    KS is the largest gap between the two distribution functions, TV (of categories) that between the probabilities of any event.
    Beyond ``most`` columns, those with the largest, the largest first.
    """
    gaps = [gap(x[:, i], _usable(samples[:, i], column), column) for i, column in enumerate(columns)]
    shown = sorted(range(len(columns)), key=lambda i: -gaps[i])[:most] if len(columns) > most else list(range(len(columns)))
    across = min(len(shown), 4 if len(shown) <= 16 else 6)
    down = math.ceil(len(shown) / across)
    picture = figure(max(4.5, 2.4 * across), 0.5 + 1.9 * down)
    axes = picture.subplots(down, across, squeeze=False).ravel()
    for ax, i in zip(axes, shown):
        marginal(ax, x[:, i], samples[:, i], columns[i])
        words = "KS" if columns[i].kind.support().ordered else "TV"
        ax.set_title(f"{words} {number(gaps[i], 2)}", loc="right", fontsize=8.5, color=SOFT, fontweight="normal", pad=3)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    some = f"the {len(shown)} of {len(columns)} columns that differ most, the furthest first" if len(shown) < len(columns) else None
    picture.legend(handles=_key(), loc="outside upper left", ncols=2, title=some, alignment="left")
    return picture


def _usable(samples: np.ndarray, column: Any) -> np.ndarray:
    """Samples without what is not finite; gaps stay where there may be some."""
    return samples[np.isfinite(samples) | (np.isnan(samples) & column.kind.support().missing)]


def _key() -> list[Any]:
    return [Patch(color=DATA, alpha=0.35, linewidth=0, label="data"), Line2D([], [], color=MODEL, label="samples")]


def marginal(ax: Axes, x: np.ndarray, samples: np.ndarray, column: Any, like: np.ndarray | None = None, named: bool = True) -> None:
    """One column, data filled and samples as a line; rows ``like`` decide what the axis shows, by default x."""
    samples, like = _usable(samples, column), x if like is None else like
    if column.vocabulary is not None:
        _bars(ax, x, samples, column, Levels.of(column, like))
        if named:
            ax.set_xlabel(shorten(column.name))
        return
    if column.kind.support().missing:
        _gaps(ax, float(np.isnan(x).mean()), float(np.isnan(samples).mean()) if len(samples) else 0.0)
    x, samples = x[~np.isnan(x)], samples[~np.isnan(samples)]
    low, high = span(like, column)
    discrete = column.discrete
    bins = edges(low, high, discrete, bins_for(min(len(x), 20000), 48))
    heights = np.histogram(x, bins)[0] / max(len(x), 1) / np.diff(bins)
    model = np.histogram(samples, bins)[0] / max(len(samples), 1) / np.diff(bins)
    if discrete and bins[1] - bins[0] == 1:
        middles = (bins[1:] + bins[:-1]) / 2
        ax.bar(middles, heights, 0.86, color=DATA, alpha=0.35, linewidth=0)
        ax.hlines(model, middles - 0.43, middles + 0.43, color=MODEL, linewidth=1.8)
    else:
        ax.stairs(heights, bins, color=DATA, alpha=0.35, fill=True)
        ax.stairs(model, bins, color=MODEL, linewidth=1.4, baseline=None)
    ax.set_xlim(bins[0], bins[-1])
    ax.set_ylim(0, _reach(heights, model))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if named:
        label_axis(ax, "x", column, ticks=4)


def _reach(heights: np.ndarray, model: np.ndarray) -> float:
    """Where an axis ends: a spike of the model's doesn't flatten the data."""
    return 1.08 * max(heights.max(), min(model.max(), 3 * heights.max())) or 1.0


def _bars(ax: Axes, x: np.ndarray, samples: np.ndarray, column: Any, levels: Levels) -> None:
    """A bar for each word, with the word in it, or behind it where it is too short."""
    heights, model = levels.shares(x), levels.shares(samples)
    at, rows = np.arange(len(heights)), max(len(heights), NAMED_ROWS)
    ax.barh(at, heights, 0.86, color=DATA, alpha=0.35, linewidth=0)
    ax.vlines(model, at - 0.43, at + 0.43, color=MODEL, linewidth=1.8)
    reach, size = _reach(heights, model), min(8.5, 90 / rows)
    for place, name in enumerate(levels.names):
        plain, wide = place < len(levels.values), LETTER_WIDTH * size * (len(name) + 2) * reach
        ends = sorted((heights[place], model[place]))
        behind = ends[0] < wide and ends[1] + wide < reach
        ax.annotate(
            name,
            (ends[1] if behind else 0, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color=INK if plain else SOFT,
            style="normal" if plain else "italic",
        )
    ax.set_xlim(0, reach)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0 if heights.max() > 0.05 else None))
    ax.spines["left"].set_visible(False)


def _gaps(ax: Axes, share: float, model: float) -> None:
    """What is missing, as a bar of its own beside the histogram: the grey one is the whole."""
    beside = ax.inset_axes((1.03, 0, 0.08, 1))
    beside.bar(0, 1, 1, color=RULE, alpha=0.5, linewidth=0)
    beside.bar(0, share, 1, color=DATA, alpha=0.35, linewidth=0)
    beside.hlines(model, -0.5, 0.5, color=MODEL, linewidth=1.8)
    beside.set(xlim=(-0.5, 0.5), ylim=(0, 1))
    beside.set_axis_off()
    beside.text(0, 0.97, f"missing {100 * share:.{int(share < 0.1)}f} %", rotation=90, ha="center", va="top", fontsize=7.5, color=INK)


@style()
def conditionals(x: np.ndarray, samples: np.ndarray, columns: Sequence[Any], given: np.ndarray, context: Any, most: int = 4) -> Figure:
    """Marginals for some values of one context column: data filled, samples as a line; row i of both belongs to ``given[i]``.

    Rows of the figure are the commonest words of a text column, or quarters of the range of a numeric one.
    """
    groups = _groups(given, context, most)
    picture = figure(max(4.5, 2.4 * len(columns)), 0.7 + 1.55 * len(groups))
    axes = picture.subplots(len(groups), len(columns), squeeze=False)
    for line, (name, rows) in enumerate(groups):
        last = line == len(groups) - 1
        for i, (ax, column) in enumerate(zip(axes[line], columns)):
            marginal(ax, x[rows, i], samples[rows, i], column, like=x[:, i], named=last)
            if not last:
                ax.tick_params(bottom=False, labelbottom=False)
        axes[line, 0].set_title(f"{shorten(name, 40)} ({rows.sum():,} rows)", fontsize=9.5, fontweight="normal", pad=3)
    picture.legend(handles=_key(), loc="outside upper left", ncols=2)
    return picture


def _groups(given: np.ndarray, context: Any, most: int) -> list[tuple[str, np.ndarray]]:
    """Names and row masks of the groups that a context column makes."""
    values, counts = np.unique(given, return_counts=True)
    if context.vocabulary is not None or len(values) <= most:
        common = values[np.argsort(-counts, kind="stable")[:most]]
        word = context.vocabulary or None
        return [(f"{context.name} = {word[int(v)] if word else number(v, 0 if v == round(v) else 3)}", given == v) for v in common]
    cuts = np.unique(np.quantile(given, np.linspace(0, 1, most + 1)))
    inside = np.clip(np.searchsorted(cuts, given, side="right") - 1, 0, len(cuts) - 2)
    names = [f"{context.name} {a:.4g} to {b:.4g}".replace("-", "−") for a, b in pairwise(cuts)]
    return [(name, inside == k) for k, name in enumerate(names) if (inside == k).any()]
