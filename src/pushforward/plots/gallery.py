"""Models side by side on data of two columns: samples, density and latents, with the gap to the entropy where it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core import Flow
from ..evaluation import entering
from .plane import cloud, density_grid, frame, mesh, scale, window
from .style import WHEEL, figure, limits, number, shorten, style


@dataclass(frozen=True)
class Exhibit:
    """A fitted flow of two columns and what it reached."""

    model: str
    flow: Flow
    nats: float
    gap: float | None

    @property
    def title(self) -> str:
        """The model, and below it what it reached."""
        reached = f"{number(self.nats)} nats" if self.gap is None else f"gap {number(self.gap)}"
        return f"{shorten(self.model, 20)}\n{reached}"


@style()
@torch.no_grad()
def exhibition(name: str, x: np.ndarray, columns: Sequence[Any], exhibits: Sequence[Exhibit], seed: int = 0) -> Figure:
    """One data set ``x (n, 2)``: the data, then samples, density and latents of each model, a row each.

    A latent keeps the hue of its direction, and the samples show where it comes from.
    """
    spans = window(x, columns)
    grids = [density_grid(e.flow, spans, columns) for e in exhibits]
    norm = scale(np.concatenate([g.heights for g in grids]))
    picture = figure(12.4, 3.3 * len(exhibits))
    for row, (exhibit, grid) in zip(picture.subplots(len(exhibits), 4, squeeze=False), zip(exhibits, grids, strict=True), strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            samples = exhibit.flow.sample((len(x),)).double().cpu().numpy()
        cloud(row[0], x, spans, columns, norm)
        cloud(row[1], samples, spans, columns, norm)
        mesh(row[2], grid, norm)
        for ax, title in zip(row, (shorten(name, 20), "samples", exhibit.title), strict=False):
            ax.set_title(title)
            frame(ax, spans, columns)
            bare_ticks(ax)
        latents(row[3], exhibit.flow, x[:4000])
    return picture


@style()
@torch.no_grad()
def wall(shown: Mapping[str, tuple[np.ndarray, Sequence[Any], Sequence[Exhibit]]]) -> Figure:
    """Every data set (a row each: name, ``x (n, 2)``, columns, exhibits) beside the density of every model."""
    models = max(len(exhibits) for *_, exhibits in shown.values())
    picture = figure(2.5 * (models + 1), 2.75 * len(shown))
    for axes, (name, (x, columns, exhibits)) in zip(picture.subplots(len(shown), models + 1, squeeze=False), shown.items(), strict=True):
        spans = window(x, columns)
        grids = [density_grid(e.flow, spans, columns) for e in exhibits]
        norm = scale(np.concatenate([g.heights for g in grids]))
        cloud(axes[0], x, spans, columns, norm)
        axes[0].set_title(shorten(name, 20))
        for ax, exhibit, grid in zip(axes[1:], exhibits, grids, strict=False):
            mesh(ax, grid, norm)
            ax.set_title(exhibit.title)
        for ax in axes:
            frame(ax, spans, columns)
            bare_ticks(ax)
    return picture


def latents(ax: Axes, flow: Flow, x: np.ndarray) -> None:
    """The rows' latents, each in the hue of its direction from their middle."""
    rows, _ = entering(flow, torch.from_numpy(np.ascontiguousarray(x)), None)
    z = flow.encode(rows).double().cpu().numpy()
    middle = np.median(z, 0)
    hue = np.arctan2(z[:, 1] - middle[1], z[:, 0] - middle[0])
    ax.scatter(z[:, 0], z[:, 1], c=hue, cmap=WHEEL, vmin=-np.pi, vmax=np.pi, s=2, alpha=0.8, linewidths=0)
    low, high = limits(z[:, 0], z[:, 1])
    ax.set(title="latents of the data", xlim=(low, high), ylim=(low, high), xlabel="z₁", ylabel="z₂")
    ax.set_box_aspect(1)


def bare_ticks(ax: Axes) -> None:
    ax.set(xlabel="", ylabel="")
    ax.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
