"""What is missing, and what is missing together, in the data and in samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .style import DATA, INK, MODEL, RULE, figure, shorten, style

MOST_COLUMNS, MOST_PATTERNS = 20, 12


@style()
def missingness(x: np.ndarray, samples: np.ndarray, columns: Sequence[Any]) -> Figure:
    """Below: the columns with gaps, and their shares of rows. Above: how often gaps occur together; x and samples ``(n, D)``.

    A combination of gaps is a column of dots; the commonest are shown. Laid out as UpSet, Lex et al., 2014.
    """
    absent, drawn = np.isnan(x), np.isnan(samples)
    share = absent.mean(0) + drawn.mean(0)
    kept = np.argsort(-share, kind="stable")[: min(MOST_COLUMNS, int((share > 0).sum()))]
    absent, drawn = absent[:, kept], drawn[:, kept]
    patterns, counts = np.unique(np.concatenate([absent, drawn]), axis=0, return_counts=True)
    patterns = patterns[np.argsort(-counts, kind="stable")]
    patterns = patterns[patterns.any(1)][:MOST_PATTERNS]
    across, down = len(patterns), len(kept)
    room = 0.42 * max(across, 6)
    picture = figure(4.4 + room, 2.4 + 0.24 * down)
    grid = picture.add_gridspec(2, 2, width_ratios=(room, 2.2), height_ratios=(1.4, 0.24 * down))
    together, dots = picture.add_subplot(grid[0, 0]), picture.add_subplot(grid[1, 0])
    each = picture.add_subplot(grid[1, 1])
    for rows, color, shift in ((absent, DATA, -0.2), (drawn, MODEL, 0.2)):
        often = (rows[:, None] == patterns).all(2).mean(0)
        together.bar(np.arange(across) + shift, often, 0.38, color=color)
        each.barh(np.arange(down) + shift, rows.mean(0), 0.38, color=color)
    for at, pattern in enumerate(patterns):
        here = np.flatnonzero(pattern)
        dots.plot([at] * down, range(down), "o", color=RULE, markersize=5)
        dots.plot([at] * len(here), here, "o-", color=INK, markersize=5, linewidth=1.2)
    for ax in (together, dots):
        ax.set_xlim(-0.6, across - 0.4)
        ax.set_xticks([])
    for ax in (dots, each):
        ax.set_ylim(down - 0.4, -0.6)
        ax.set_yticks(range(down), [shorten(columns[i].name) for i in kept] if ax is dots else [""] * down)
        ax.tick_params(axis="y", length=0)
    together.yaxis.set_major_locator(MaxNLocator(nbins=4))
    together.yaxis.set_major_formatter(PercentFormatter(1))
    together.set_ylabel("rows")
    complete = " and ".join(f"{100 * (~rows.any(1)).mean():.1f} % of {of}" for rows, of in ((absent, "the data"), (drawn, "samples")))
    together.set_title(f"complete: {complete}", fontsize=9.5, fontweight="normal")
    for spine in ("left", "bottom"):
        dots.spines[spine].set_visible(False)
    each.xaxis.set_major_locator(MaxNLocator(nbins=3))
    each.xaxis.set_major_formatter(PercentFormatter(1))
    each.set_xlabel("missing")
    picture.legend(handles=[Patch(color=DATA, label="data"), Patch(color=MODEL, label="samples")], loc="outside upper left", ncols=2)
    return picture
