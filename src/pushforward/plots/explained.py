"""Column by column, what a model knows of a row: by the column alone, and given those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..core import Flow
from ..data import Rows
from ..evaluation import entering
from ..questions import Exact
from .style import INK, MODEL, RULE, SOFT, figure, number, shorten, style


def nats_of_columns(exact: Exact, flow: Flow, train: Rows, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean log p of each column ``(D,)``: alone, with the shares of its codes in the training rows; and given the columns before it.

    Rows with a value outside of its column's support are left out of that column.
    """
    x, context = entering(flow, rows.x, rows.context)
    none = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    chain = exact.terms(x, none, ~none, context)
    alone = torch.empty_like(chain)
    (codes, within), (seen, _) = exact.layer.split(x), exact.layer.split(train.x.to(x.device))
    size = (exact.base.cells + 1) * exact.base.fine
    for i in range(x.shape[1]):
        numbers, own = (digits[:, i, 0] * exact.base.fine + digits[:, i, 1] for digits in (codes, seen))
        shares = torch.bincount(own, minlength=size).double().clamp_min(0.5) / len(own)
        alone[:, i] = shares.log()[numbers] + within[:, i]
    possible = chain.isfinite() & alone.isfinite()
    means = [torch.where(possible, part, 0.0).sum(0) / possible.sum(0).clamp_min(1) for part in (alone, chain)]
    return means[0].cpu().numpy(), means[1].cpu().numpy()


@style()
def explained(alone: np.ndarray, chain: np.ndarray, columns: Sequence[Any], order: Sequence[int], most: int = 40) -> Figure:
    """Mean log-likelihoods of columns ``(D,)`` as dots, alone and given those before it in ``order``, and what lies between them.

    Beyond ``most`` columns, those whose two figures lie furthest apart.
    """
    kept = set(np.argsort(-np.abs(chain - alone), kind="stable")[:most].tolist())
    shown = [i for i in order if i in kept]
    picture = figure(9, 1.2 + 0.27 * len(shown))
    left, right = picture.subplots(1, 2, width_ratios=(3, 2), sharey=True)
    for place, i in enumerate(shown):
        gain = round(float(chain[i] - alone[i]), 2) + 0.0
        left.axhline(place, color=RULE, linewidth=0.6, zorder=0)
        left.plot([alone[i], chain[i]], [place, place], color=MODEL, linewidth=3, alpha=0.35, solid_capstyle="butt")
        left.plot(alone[i], place, "o", color=SOFT, markersize=6)
        left.plot(chain[i], place, "o", color=MODEL, markersize=6)
        right.barh(place, gain, 0.6, color=MODEL, alpha=0.5)
        words = ("+" if gain > 0 else "") + number(gain, 2)
        right.annotate(words, (max(gain, 0.0), place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    for ax, title in ((left, "log-likelihood, nats (better to the right)"), (right, "what the columns above it explain, nats")):
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(title)
    left.margins(x=0.04)
    right.margins(x=0.18)
    left.set_yticks(range(len(shown)), [shorten(columns[i].name) for i in shown], color=INK)
    left.set_ylim(len(shown) - 0.4, -0.6)
    handles = [Line2D([], [], color=SOFT, marker="o", linewidth=0, label="alone")]
    handles.append(Line2D([], [], color=MODEL, marker="o", linewidth=0, label="given the columns above it"))
    some = f"the {len(shown)} of {len(order)} columns that gain most" if len(shown) < len(order) else None
    picture.legend(handles=handles, loc="outside upper left", ncols=2, title=some, alignment="left")
    return picture
