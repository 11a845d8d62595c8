"""Tables of numbers: pairs of columns, and whether the latents are as uniform as they should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import stats

from .histograms import marginal
from .style import DATA, DATA_MAP, MODEL, MODEL_MAP, RULE, SOFT, edges, figure, label_axis, span, style

FEW = 1500  # rows that are better shown as points


def telling(x: np.ndarray, most: int = 6) -> list[int]:
    """Up to ``most`` columns that hang together most (largest absolute rank correlations), in their own order."""
    if x.shape[1] <= most:
        return list(range(x.shape[1]))
    ranks = stats.rankdata(x[:5000], axis=0)
    ranks = (ranks - ranks.mean(0)) / np.maximum(ranks.std(0), 1e-12)
    ties = np.abs(ranks.T @ ranks) / len(ranks)
    np.fill_diagonal(ties, 0)
    chosen = [int(i) for i in np.unravel_index(ties.argmax(), ties.shape)]
    while len(chosen) < most:
        score = ties[chosen].max(0)
        score[chosen] = -1
        chosen.append(int(score.argmax()))
    return sorted(chosen)


@style()
def pairs(x: np.ndarray, samples: np.ndarray, columns: Sequence[Any]) -> Figure:
    """Every pair of columns: data above the diagonal, samples below it at the mirrored place, both marginals on it; ``(n, D)`` each."""
    dim = len(columns)
    picture = figure(1.2 + 1.55 * dim, 1.2 + 1.55 * dim)
    axes = picture.subplots(dim, dim, squeeze=False)
    spans = [span(x[:, i], columns[i]) for i in range(dim)]
    for row in range(dim):
        for at in range(dim):
            ax = axes[row, at]
            if row == at:
                marginal(ax, x[:, row], samples[:, row], columns[row], named=False)
                ax.set_xlim(*spans[row])
            else:
                _pair(ax, x, samples, (at, row), spans, columns, upper=at > row)
            ax.set_box_aspect(1)
            label_axis(ax, "x", columns[at], ticks=3, length=16)
            if row != at:
                label_axis(ax, "y", columns[row], ticks=3, length=16)
            _outer(ax, row, at, dim)
    handles = [Patch(color=DATA, label="data (upper right)"), Patch(color=MODEL, label="samples (lower left)")]
    picture.legend(handles=handles, loc="outside upper left", ncols=2)
    return picture


def _outer(ax: Axes, row: int, at: int, dim: int) -> None:
    """Names and ticks on the left and at the bottom of the whole figure only."""
    if row < dim - 1:
        ax.set_xlabel("")
        ax.tick_params(bottom=False, labelbottom=False)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", labelsize=8)
    if at > 0:
        ax.set_ylabel("")
        ax.tick_params(left=False, labelleft=False)


def _pair(
    ax: Axes,
    x: np.ndarray,
    samples: np.ndarray,
    which: tuple[int, int],
    spans: list[tuple[float, float]],
    columns: Sequence[Any],
    upper: bool,
) -> None:
    i, j = which
    rows = (x if upper else samples)[:, [i, j]]
    paint: Colormap = DATA_MAP if upper else MODEL_MAP
    if len(x) <= FEW:
        size = float(np.clip(2000 / len(x), 1.5, 9))
        ax.scatter(rows[:, 0], rows[:, 1], s=size, color=DATA if upper else MODEL, alpha=0.55, linewidths=0)
    else:
        most = int(np.clip(np.sqrt(len(x)) / 2.5, 16, 44))
        bins = [edges(*spans[k], columns[k].discrete, most) for k in which]
        heights, *_ = np.histogram2d(rows[:, 0], rows[:, 1], bins, weights=np.full(len(rows), 1 / len(rows)))
        top = np.histogram2d(x[:, i], x[:, j], bins)[0] / len(x)  # the data's scale for both
        norm = PowerNorm(0.5, 0, float(np.percentile(top[top > 0], 99)) if (top > 0).any() else 1, clip=True)
        ax.pcolormesh(*bins, np.ma.masked_equal(heights.T, 0), cmap=paint, norm=norm, rasterized=True)
    ax.set_xlim(*spans[i])
    ax.set_ylim(*spans[j])


@style()
def uniformity(z: np.ndarray, most: int = 16) -> Figure:
    r"""Histograms of ``u = Phi(z)`` per latent dimension for test rows ``(n, D)``: uniform where the flow is right.

    Each bar of a uniform histogram lies in the grey band 19 times out of 20. A hump: the model is too wide there; a bowl: too narrow;
    a slope: it leans to one side. Beyond ``most`` dimensions, those that stray most.
    """
    u = stats.norm.cdf(z)
    n, dim = u.shape
    bars = int(np.clip(n // 25, 5, 20))
    counts = np.stack([np.histogram(u[:, i], bars, (0, 1))[0] for i in range(dim)])
    low, high = (float(stats.binom.ppf(q, n, 1 / bars)) for q in (0.025, 0.975))
    stray = ((counts - n / bars) ** 2).sum(1)
    shown = sorted(np.argsort(-stray)[:most].tolist())
    outside = float(((counts < low) | (counts > high)).mean())
    across = min(4, len(shown))
    down = math.ceil(len(shown) / across)
    picture = figure(max(4.5, 2.4 * across), 0.75 + 1.5 * down)
    axes = picture.subplots(down, across, squeeze=False, sharey=True).ravel()
    scale = bars / n
    reach = max(1.15 * np.abs(counts[shown] * scale - 1).max(), 2.5 * (high * scale - 1))
    for ax, i in zip(axes, shown):
        ax.axhspan(low * scale, high * scale, color=RULE, alpha=0.7, linewidth=0)
        ax.axhline(1, color=SOFT, linewidth=0.6)
        ax.stairs(counts[i] * scale, np.linspace(0, 1, bars + 1), color=DATA, linewidth=1.4, baseline=None)
        ax.set_title(f"z{i + 1}", fontsize=9.5, fontweight="normal", pad=3)
        ax.set_xlim(0, 1)
        ax.set_ylim(max(0, 1 - reach), 1 + reach)
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    some = f"the {len(shown)} of {dim} dimensions that stray most; " if len(shown) < dim else ""
    picture.suptitle(
        f"{some}{100 * outside:.0f} % of all bars lie outside the grey band (5 % expected)", x=0.01, ha="left", fontsize=10, color=SOFT
    )
    return picture
