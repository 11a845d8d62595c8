"""Data of one or two dimensions: the density beside data and samples, and the flow as a map of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import constraints

from ..core import Flow
from ..evaluation import entering
from .density import Contexts, density
from .style import DATA, DENSITY, INK, MODEL, WHEEL, bins_for, color, edges, figure, label_axis, span, style

GRID, COARSE = 200, 100  # points to a side of the density, and of a mixture over contexts
CURVE = 600  # points of the density of one column
REACH = 3.6  # standard deviations of the base that a picture of latents shows
FEW = 3000  # rows that are better shown as points


@style()
def densities(flow: Flow, x: np.ndarray, samples: np.ndarray, columns: Sequence[Any], contexts: Contexts | None = None) -> Figure:
    """Data, samples and the density itself in one colour scale; x and samples ``(n, 2)``."""
    spans = window(x, columns)
    model = density_grid(flow, spans, columns, contexts)
    norm = scale(model.heights)
    picture = figure(10.5, 3.9)
    left, middle, right = picture.subplots(1, 3)
    for ax, rows, title in ((left, x, "data"), (middle, samples, "samples")):
        cloud(ax, rows, spans, columns, norm)
        ax.set_title(title)
    mesh(right, model, norm)
    right.set_title("density" if contexts is None else "density, a mixture over contexts")
    for ax in (left, middle, right):
        frame(ax, spans, columns)
    for ax in (middle, right):
        ax.set_ylabel("")
        ax.tick_params(left=False, labelleft=False)
    return picture


def cloud(ax: Axes, rows: np.ndarray, spans: list[tuple[float, float]], columns: Sequence[Any], norm: PowerNorm) -> None:
    """Many rows as a histogram of the density's colours; few as points on the same ground."""
    ground = color(DENSITY, 0.0)
    ax.set_facecolor(ground)
    if len(rows) <= FEW:
        ax.scatter(
            rows[:, 0], rows[:, 1], s=float(np.clip(6000 / max(len(rows), 1), 3, 14)), color=color(DENSITY, 0.85), alpha=0.9, linewidths=0
        )
        return
    most = int(np.clip(np.sqrt(len(rows)) / 1.6, 30, 140))
    bins = [edges(*ends, column.discrete, most) for ends, column in zip(spans, columns)]
    counts, *_ = np.histogram2d(rows[:, 0], rows[:, 1], bins)
    heights = counts / len(rows) / np.outer(np.diff(bins[0]), np.diff(bins[1]))
    ax.pcolormesh(*bins, heights.T, cmap=DENSITY, norm=norm, rasterized=True)


@dataclass(frozen=True)
class Grid:
    """The density on a grid: ``x (n,)``, ``y (m,)``, ``heights (m, n)``."""

    x: np.ndarray
    y: np.ndarray
    heights: np.ndarray


def density_grid(flow: Flow, spans: list[tuple[float, float]], columns: Sequence[Any], contexts: Contexts | None = None) -> Grid:
    """The density of two columns between the ends of ``spans``."""
    most = GRID if contexts is None else COARSE
    x, y = (_grid(*ends, column.discrete, most) for ends, column in zip(spans, columns))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return Grid(x, y, density(flow, points, contexts).reshape(len(y), len(x)))


def scale(heights: np.ndarray) -> PowerNorm:
    """Colours for densities, such that thin parts show."""
    return PowerNorm(0.6, 0, float(np.percentile(heights[heights > 0], 99.7)) if (heights > 0).any() else 1)


def mesh(ax: Axes, grid: Grid, norm: PowerNorm) -> None:
    """The density as colour."""
    ax.set_facecolor(color(DENSITY, 0.0))
    ax.pcolormesh(grid.x, grid.y, grid.heights, cmap=DENSITY, norm=norm, shading="nearest", rasterized=True)


def window(x: np.ndarray, columns: Sequence[Any]) -> list[tuple[float, float]]:
    """Limits of both axes; of one size where the columns are of one size, so that circles are round."""
    spans = [span(x[:, i], columns[i]) for i in (0, 1)]
    sizes = [high - low for low, high in spans]
    if max(sizes) > 1.6 * min(sizes) or any(c.discrete for c in columns):
        return spans
    half = max(sizes) / 2
    return [((low + high) / 2 - half, (low + high) / 2 + half) for low, high in spans]


def _grid(low: float, high: float, discrete: bool, most: int) -> np.ndarray:
    if not discrete:
        return np.linspace(low, high, most)
    whole = np.arange(np.ceil(low), np.floor(high) + 1)
    return whole if len(whole) <= most else np.unique(np.round(np.linspace(whole[0], whole[-1], most)))


def frame(ax: Axes, spans: list[tuple[float, float]], columns: Sequence[Any]) -> None:
    """Limits, a square box, and the columns' names."""
    ax.set_xlim(*spans[0])
    ax.set_ylim(*spans[1])
    ax.set_box_aspect(1)
    label_axis(ax, "x", columns[0])
    label_axis(ax, "y", columns[1])


@style()
def profile(flow: Flow, x: np.ndarray, column: Any, contexts: Contexts | None = None) -> Figure:
    """The density of one column as a curve over the data's histogram; x ``(n, 1)``."""
    low, high = span(x, column)
    points = _grid(low, high, column.discrete, GRID if column.discrete else CURVE)
    picture = figure(7, 3.6)
    ax = picture.add_subplot()
    bins = edges(low, high, column.discrete, bins_for(len(x), 80))
    ax.stairs(np.histogram(x, bins)[0] / len(x) / np.diff(bins), bins, color=DATA, alpha=0.35, fill=True, label="data")
    heights = density(flow, points[:, None], contexts)
    ax.plot(points, heights, color=MODEL, marker="o" if column.discrete and len(points) < 60 else "", markersize=4, label="density")
    ax.set_xlim(low, high)
    ax.set_ylim(0)
    label_axis(ax, "x", column, ticks=7)
    ax.set_ylabel("probability" if column.discrete else "density")
    ax.legend()
    return picture


@style()
@torch.no_grad()
def warp(flow: Flow, x: np.ndarray, columns: Sequence[Any], contexts: Tensor | None = None, lines: int = 25) -> Figure:
    """The flow as a map of the plane, both ways; x ``(n, 2)``, ``contexts`` ``(n, ...)``.

    Above: a square grid over the data is carried to the latents (x -> z). Below: rays and circles of the base are carried to the
    data (z -> x); half of a normal base's mass lies inside the second circle. A base on a box has a square grid instead. A point
    keeps its colour. With contexts, the lines belong to the first of them, the points each to its own.
    """

    def carry(points: np.ndarray, back: bool, own: Tensor | None) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(points))
        if own is not None and len(own) != len(rows):
            own = own[:1].expand(len(rows), *own.shape[1:])
        rows, own = entering(flow, rows, own)
        inside = next((p.dtype for p in flow.parameters()), rows.dtype)  # latents have the nets' dtype
        return (flow.decode(rows.to(inside), own) if back else flow.encode(rows, own)).double().cpu().numpy()

    spans, box = window(x, columns), _box(flow)
    z = carry(x, False, contexts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = (torch.randn(len(x), 2) if flow.base.context_shape else flow.base.sample((len(x),))).double().cpu().numpy()
    drawn = carry(base, True, contexts)
    straight = _square_lines(spans, lines)
    round_ = _square_lines([(a + 0.004 * (b - a), b - 0.004 * (b - a)) for a, b in box], lines) if box else _polar_lines()
    first = None if contexts is None else contexts[:1]
    bent = [carry(line, False, first) for line in straight]
    curled = [carry(line, True, first) for line in round_]

    picture = figure(7.6, 7.8)
    (data, latent), (normal, decoded) = picture.subplots(2, 2)
    latent_spans = box or [(-REACH, REACH)] * 2
    middle = np.mean(latent_spans, 1)
    hue, base_hue = _angle(z - middle), _angle(base - middle)
    for ax, points, colors, grid, view, title in (
        (data, x, hue, straight, spans, "data x, and a square grid"),
        (latent, z, hue, bent, latent_spans, "carried to the latent z"),
        (normal, base, base_hue, round_, latent_spans, f"base z, {'a square grid' if box else 'its circles and rays'}"),
        (decoded, drawn, base_hue, curled, spans, "carried to the data x"),
    ):
        ax.scatter(points[:, 0], points[:, 1], c=colors, cmap=WHEEL, vmin=-np.pi, vmax=np.pi, s=3, alpha=0.8, linewidths=0)
        ax.add_collection(LineCollection(grid, colors=INK, linewidths=0.5, alpha=0.6))
        ax.set_title(title)
        ax.set_xlim(*view[0])
        ax.set_ylim(*view[1])
        ax.set_box_aspect(1)
        if view is spans:
            label_axis(ax, "x", columns[0])
            label_axis(ax, "y", columns[1])
        else:
            ax.set_xlabel("z₁")
            ax.set_ylabel("z₂")
    return picture


def _box(flow: Flow) -> list[tuple[float, float]] | None:
    """The ends of the base's two coordinates, where it lives on a box."""
    inside = getattr(flow.base.support, "base_constraint", None)
    if not isinstance(inside, constraints.interval):
        return None
    ends = (torch.as_tensor(end).double().cpu().expand(2).tolist() for end in (inside.lower_bound, inside.upper_bound))
    return list(zip(*ends, strict=True))


def _square_lines(spans: list[tuple[float, float]], lines: int, points: int = 400) -> list[np.ndarray]:
    x, y = (np.linspace(low, high, lines) for low, high in spans)
    fine = [np.linspace(low, high, points) for low, high in spans]
    upright = [np.stack([np.full(points, at), fine[1]], 1) for at in x]
    return upright + [np.stack([fine[0], np.full(points, at)], 1) for at in y]


def _polar_lines(rays: int = 24, points: int = 600) -> list[np.ndarray]:
    """Circles that hold 20, 50, 80, 95 and 99 % of a standard normal in the plane, and rays through them."""
    turn = np.linspace(0, 2 * np.pi, points)
    radii = np.sqrt(-2 * np.log(1 - np.array([0.2, 0.5, 0.8, 0.95, 0.99])))
    circles = [r * np.stack([np.cos(turn), np.sin(turn)], 1) for r in radii]
    along = np.linspace(0, radii[-1], points)
    return circles + [np.outer(along, [np.cos(a), np.sin(a)]) for a in turn[:: points // rays][:rays]]


def _angle(z: np.ndarray) -> np.ndarray:
    return np.arctan2(z[:, 1], z[:, 0])
