"""What the page shows of a run of two columns: its density, and points on their way from the data to the latent."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from ..core import Flow
from ..data import Rows, Schema
from ..evaluation import entering, settled
from ..plots import pixels_of
from ..plots.plane import density_grid, frame, mesh, scale, window
from ..plots.style import INK, WHEEL, figure, style
from ..training import Run
from ..verbs.runs import data_of

SHOWN_POINTS = 2000
GRID_LINES = 17


class PlaneRoom:
    """The pictures of one run of two columns without context.

    Attributes:
        names: of the layers, in the order in which data pass them.
    """

    def __init__(self, run: Run, schema: Schema):
        self.run, self.schema, self.flow = run, schema, run.flow
        self.names = [type(layer).__name__ for layer in self.flow.transform.transforms]

    @cached_property
    def rows(self) -> Rows:
        return data_of(self.run).test.pick(slice(0, SHOWN_POINTS))

    @cached_property
    def density(self) -> np.ndarray:
        """The density, and test rows on it."""
        return pixels_of(_density(self.flow, self.rows.x.numpy(), self.schema))

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """A grid of points before the first layer and after each: the last one is the latent."""
        x = self.rows.x
        spans = window(x.numpy(), self.schema.columns)
        across, up = (torch.linspace(low, high, GRID_LINES, dtype=torch.float64) for low, high in spans)
        fine = [torch.linspace(low, high, 200, dtype=torch.float64) for low, high in spans]
        lines = [torch.stack([torch.full((200,), float(at), dtype=torch.float64), fine[1]], 1) for at in across]
        lines += [torch.stack([fine[0], torch.full((200,), float(at), dtype=torch.float64)], 1) for at in up]
        points, grid = self._carried(x), self._carried(torch.cat(lines))
        hue = np.arctan2(*(points[-1] - points[-1].mean(0)).T)
        names = ["data x", *(f"after layer {i + 1} of {len(self.names)}, {name}" for i, name in enumerate(self.names))]
        return [pixels_of(_frame(p, g.reshape(2 * GRID_LINES, 200, 2), hue, name)) for p, g, name in zip(points, grid, names, strict=True)]

    @torch.no_grad()
    def _carried(self, x: Tensor) -> list[np.ndarray]:
        """Rows before and after each layer."""
        found, (rows, _) = [x.double().numpy()], entering(self.flow, x, None)
        with settled(self.flow, 0):
            for layer in self.flow.transform.transforms:
                rows = layer.encode(rows)
                found.append(rows.double().cpu().numpy())
        return found


@style()
def _density(flow: Flow, x: np.ndarray, schema: Schema) -> Figure:
    spans = window(x, schema.columns)
    grid = density_grid(flow, spans, schema.columns)
    picture = figure(5.2, 4.8)
    ax = picture.subplots()
    mesh(ax, grid, scale(grid.heights))
    ax.scatter(x[:, 0], x[:, 1], s=2, c="white", alpha=0.35, linewidths=0)
    frame(ax, spans, schema.columns)
    return picture


@style()
def _frame(points: np.ndarray, lines: np.ndarray, hue: np.ndarray, title: str) -> Figure:
    picture = figure(4.8, 4.8)
    ax = picture.subplots()
    ax.add_collection(LineCollection(list(lines), colors=INK, linewidths=0.4, alpha=0.5))
    ax.scatter(points[:, 0], points[:, 1], c=hue, cmap=WHEEL, vmin=-np.pi, vmax=np.pi, s=4, linewidths=0)
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    middle, half = (low + high) / 2, 0.65 * max(*(high - low), 1e-9)
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[1] - half, middle[1] + half)
    ax.set_box_aspect(1)
    ax.set_title(title)
    return picture
