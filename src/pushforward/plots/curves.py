"""Learning curves, scores, and where the log-likelihoods lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import DATA, INK, MODEL, RULE, SOFT, THIRD, bins_for, figure, limits, number, shorten, style


@style()
def learning_curves(
    metrics: Sequence[Mapping[str, Any]],
    references: Mapping[str, float] | None = None,
    dim: int | None = None,
    label: str = "log-likelihood, nats per row",
) -> Figure:
    """Log-likelihood against the optimizer's steps, in nats per row: training (smoothed) and validation.

    Arguments:
        metrics: the lines of ``metrics.jsonl``: ``step`` with ``loss`` (negative log-likelihood) or ``valid``.
        references: horizontal lines to draw, name -> nats (baselines, the toy's entropy).
        dim: numbers of an image; then bits per dimension are shown, fewer further up.
        label: of the vertical axis otherwise.
    """
    unit, write = _units(dim)
    references = {name: nats / unit for name, nats in (references or {}).items()}
    train, valid = _series(metrics, "loss", unit), _series(metrics, "valid", unit)
    picture = figure(8, 4)
    ax = picture.add_subplot()
    ends: list[tuple[float, str, str]] = [(nats, f"{name}  {write(nats)}", SOFT) for name, nats in references.items()]
    if len(train):
        smooth = _smooth(train[:, 1]) if len(train) > 100 else train[:, 1]  # few: each is a mean since the one before
        if len(train) > 100:
            ax.plot(train[:, 0], train[:, 1], color=MODEL, alpha=0.18, linewidth=0.7)
        ax.plot(train[:, 0], smooth, color=MODEL)
        ends.append((smooth[-1], f"training  {write(smooth[-1])}", MODEL))
    if len(valid):
        ax.plot(valid[:, 0], valid[:, 1], color=DATA, marker="o", markersize=3 if len(valid) < 60 else 0)
        best = valid[np.argmax(valid[:, 1])]
        ends.append((valid[-1, 1], f"validation, best  {write(best[1])}", DATA))
        ax.plot(*best, marker="o", markersize=8, markerfacecolor="none", markeredgecolor=DATA, markeredgewidth=1.2, clip_on=False)
    for nats in references.values():
        ax.axhline(nats, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.set_ylim(*_view(train, valid, list(references.values())))
    ax.set_xlim(0, max([1, *train[:, 0], *valid[:, 0]]))
    ax.set_xlabel("step")
    ax.set_ylabel(label if dim is None else "bits per dimension, fewer further up")
    if dim is not None:
        ax.yaxis.set_major_formatter(lambda value, _: f"{-value:g}")
    ax.grid(axis="y")
    _name_lines(ax, ends)
    return picture


def _units(dim: int | None) -> tuple[float, Callable[[float], str]]:
    """What nats are divided by, and how the outcome is written: bits per dimension are minus that."""
    return (1.0, number) if dim is None else (dim * math.log(2), lambda value: number(-value))


def _series(metrics: Sequence[Mapping[str, Any]], key: str, unit: float = 1.0) -> np.ndarray:
    """``(n, 2)`` of step and log-likelihood; ``loss`` and ``valid`` are negative ones in the file."""
    rows = [(m["step"], -m[key] / unit) for m in metrics if m.get(key) is not None and np.isfinite(m[key])]
    return np.array(sorted(rows), float).reshape(-1, 2)


def _smooth(y: np.ndarray) -> np.ndarray:
    """A running median then mean over about a thirtieth of the curve; the ends use what there is."""
    half = max(1, len(y) // 60)
    windows = [slice(max(0, i - half), i + half + 1) for i in range(len(y))]
    middle = np.array([np.median(y[w]) for w in windows])
    return np.array([middle[w].mean() for w in windows])


def _view(train: np.ndarray, valid: np.ndarray, references: list[float]) -> tuple[float, float]:
    """A range that shows the end of the curves and the references, and lets the first fall run out of the picture."""
    late = [curve[len(curve) // 5 :, 1] for curve in (train, valid) if len(curve)]
    y = (
        np.concatenate([*late, np.array(references, float), *([valid[:, 1].max()[None]] if len(valid) else [])])
        if late
        else np.array(references)
    )
    if not len(y):
        return 0.0, 1.0
    low, high = min([np.percentile(y, 5), *references]), max([np.percentile(y, 99), *references, *valid[-1:, 1]])
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _name_lines(ax: Axes, ends: list[tuple[float, str, str]], gap: float = 0.062) -> None:
    """Names at the right end of the lines, pushed apart where they would overlap."""
    low, high = ax.get_ylim()
    ends = sorted(ends)
    places = [(y - low) / (high - low) for y, _, _ in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for i in reversed(range(len(places))):
        ceiling = 1.0 if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], ceiling)
    for place, (nats, words, color) in zip(places, ends):
        y = min(max((nats - low) / (high - low), 0), 1)
        ax.plot([1.0, 1.02, 1.035], [y, place, place], transform=ax.transAxes, color=color, linewidth=0.8, clip_on=False, alpha=0.7)
        ax.text(1.042, place, words, transform=ax.transAxes, color=color, va="center", fontsize=9.5)


def short_name(model: str) -> str:
    """A model's name without its remarks in brackets."""
    return shorten(model.split(" (")[0], 36)


@style()
def score_dots(scores: Sequence[Any], entropy: float | None = None, dim: int | None = None) -> Figure:
    """Test log-likelihoods as dots with two standard errors, the first score (the model's) in colour, best at the top.

    With ``dim``, the numbers of an image, bits per dimension are shown, fewer to the right.
    """
    unit, write = _units(dim)
    order = sorted(range(len(scores)), key=lambda i: scores[i].nats)
    worst = min((s.nats / unit for s in scores if np.isfinite(s.nats)), default=0.0)
    picture = figure(8, 0.9 + 0.42 * len(scores))
    ax = picture.add_subplot()
    for place, i in enumerate(order):
        score, color = scores[i], MODEL if i == 0 else SOFT
        ax.axhline(place, color=RULE, linewidth=0.6, zorder=0)
        if np.isfinite(score.nats):
            ax.errorbar(score.nats / unit, place, xerr=2 * score.stderr / unit, fmt="o", color=color, markersize=7, elinewidth=1.6)
        else:
            ax.plot(worst, place, marker="<", color=color, markersize=7)
        words = write(score.nats / unit) + (f" ± {number(score.stderr / unit)}" if np.isfinite(score.nats) else "")
        ax.text(1.02, place, words, transform=ax.get_yaxis_transform(), va="center", color=color, fontsize=10)
    if entropy is not None:
        ax.axvline(-entropy, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate("the best possible", (-entropy, -0.55), (-5, 0), textcoords="offset points", fontsize=9, ha="right", color=INK)
    ax.set_yticks(range(len(order)), [short_name(scores[i].name) for i in order], fontsize=10.5, color=INK)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.7, len(order) - 0.3)
    ax.margins(x=0.08)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(
        "test log-likelihood, nats per row (better to the right)" if dim is None else "test bits per dimension (fewer to the right)"
    )
    if dim is not None:
        ax.xaxis.set_major_formatter(lambda value, _: f"{-value:g}")
    return picture


@style()
def likelihoods(train: np.ndarray, test: np.ndarray, samples: np.ndarray) -> Figure:
    """Log-likelihoods of training rows, test rows and the model's own samples, ``(n,)`` each, as smooth histograms.

    Test left of training: memorized rows. Samples right of test: the model is surer of itself than the data allow.
    """
    picture = figure(8, 3.2)
    ax = picture.add_subplot()
    named = (("training rows", train, THIRD), ("test rows", test, DATA), ("samples", samples, MODEL))
    found = [(name, x[np.isfinite(x)], color) for name, x, color in named if np.isfinite(x).any()]
    low, high = limits(*(x for _, x, _ in found))
    bins = np.linspace(low, high, bins_for(min(len(x) for _, x, _ in found), 50) + 1)
    for name, x, color in found:
        heights = np.histogram(x, bins)[0] / len(x) / np.diff(bins)
        ax.stairs(heights, bins, color=color, linewidth=1.6, label=f"{name}, mean {number(x.mean(), 2)}")
        ax.axvline(x.mean(), color=color, linewidth=0.8, linestyle=(0, (2, 2)))
    ax.set_xlim(low, high)
    ax.set_xlabel("log-likelihood of a row, nats")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 1.0))
    return picture
