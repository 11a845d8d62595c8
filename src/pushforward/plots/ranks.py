"""Calibration: observed beside expected coverage of intervals, and the ranks of held-out rows among samples."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..evaluation import Calibration
from ..evaluation.calibration import LEVELS, RANK_BINS, Ranks
from .style import DATA, MODEL, RULE, SOFT, THIRD, figure, shorten, style

NAMED = 3  # columns whose lines are named


@style()
def coverage(found: Calibration) -> Figure:
    """Left: the share of rows in the central interval of each level, a line for each column; right, of a conditional flow, TARP's.

    On the diagonal where the flow is calibrated; below it intervals are too narrow. Grey: within two standard errors.
    """
    panels = 1 if found.joint is None else 2
    picture = figure(4.6 * panels, 4.4)
    axes = picture.subplots(1, panels, squeeze=False)[0]
    levels = np.array([0, *LEVELS, 1])
    off = sorted(found.columns, key=lambda ranks: -_distance(ranks))
    for ranks in reversed(off):
        color = MODEL if ranks in off[:NAMED] else SOFT
        axes[0].plot(levels, [0, *ranks.coverage, 1], color=color, linewidth=1.4, alpha=0.9 if color == MODEL else 0.4)
    ends = ("solid", (0, (4, 2)), (0, (1, 1.5)))
    for ranks, dashes in zip(off[:NAMED], ends):
        axes[0].plot(levels, [0, *ranks.coverage, 1], color=MODEL, linewidth=1.8, linestyle=dashes, label=shorten(ranks.name))
    axes[0].legend(loc="upper left", title="furthest off" if len(off) > NAMED else None, alignment="left")
    _diagonal(axes[0], found, levels, "central intervals", "share of rows inside")
    if found.joint is not None:
        axes[1].plot(np.linspace(0, 1, RANK_BINS + 1), [0, *np.cumsum(found.joint.counts)], color=THIRD, linewidth=1.8)
        _diagonal(axes[1], found, levels, "all columns together (TARP)", "share of rows in their balls")
    return picture


def _diagonal(ax: Axes, found: Calibration, levels: np.ndarray, title: str, label: str) -> None:
    reach = 2 * np.array([found.stderr(level) for level in levels])
    ax.fill_between(levels, levels - reach, levels + reach, color=RULE, alpha=0.7, linewidth=0, zorder=0)
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=0.6, zorder=0)
    ax.set(title=title, xlabel="share expected", ylabel=label, xlim=(0, 1), ylim=(0, 1))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    ax.set_box_aspect(1)


def _distance(ranks: Ranks) -> float:
    return float(np.abs(np.array(ranks.coverage) - LEVELS).max())


@style()
def rank_histograms(found: Calibration, most: int = 12) -> Figure:
    """Histograms of the ranks of held-out values among samples, by column: flat where the flow is calibrated.

    Grey: where a bar lies 19 times out of 20. Beyond ``most`` columns, those that stray most.
    """
    stray = [float(np.square(np.array(ranks.counts) - 1 / RANK_BINS).sum()) for ranks in found.columns]
    shown = [found.columns[i] for i in sorted(np.argsort(stray)[::-1][:most].tolist())]
    across = min(4, len(shown))
    down = math.ceil(len(shown) / across)
    picture = figure(max(4.5, 2.4 * across), 0.6 + 1.5 * down)
    axes = picture.subplots(down, across, squeeze=False, sharey=True).ravel()
    band = 2 * RANK_BINS * found.stderr(1 / RANK_BINS)
    reach = max(1.1 * max(abs(RANK_BINS * np.array(ranks.counts) - 1).max() for ranks in shown), 1.5 * band)
    for ax, ranks in zip(axes, shown):
        ax.axhspan(1 - band, 1 + band, color=RULE, alpha=0.7, linewidth=0)
        ax.axhline(1, color=SOFT, linewidth=0.6)
        ax.stairs(RANK_BINS * np.array(ranks.counts), np.linspace(0, 1, RANK_BINS + 1), color=DATA, linewidth=1.4, baseline=None)
        ax.set_title(shorten(ranks.name), fontsize=9.5, fontweight="normal", pad=3)
        ax.set(xlim=(0, 1), ylim=(max(0, 1 - reach), 1 + reach))
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    return picture
