"""One velocity net trained in three ways on a toy: the ways of its points, its field, and what a solver needs to follow it.

    python examples/trajectories.py               # some minutes; picture and animation go to runs/figures, or to --out

FFJORD by the likelihood, by the likelihood with RNODE's prices on the way, and by flow matching, each for the same time. Printed for each:
how many evaluations of the net adaptive steps (dopri5, error 1e-5) take for a row, and how far the test log-likelihood by these steps is
below minus the entropy of the data.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from pushforward import Flow
from pushforward.data import Data, load
from pushforward.evaluation import evaluate
from pushforward.models import ffjord
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, RULE, SOFT, THIRD, WHEEL, bare, figure, number, style
from pushforward.training import fit
from pushforward.transforms import Continuous
from pushforward.transforms.integrate import Times, even, integrate

COLOURS = {"by the likelihood": DATA, "with a price on the way": THIRD, "by flow matching": MODEL}
WAYS, CLOUD, MEASURED = 64, 600, 2000  # rows drawn as ways and as points, and rows whose evaluations are counted
TEST = 10_000  # rows of the test split that are scored
REACH = 3.0  # of the plane that is shown, on either side
FRAMES, HOLD, DURATION = 32, 1500, 80  # pictures, and milliseconds of the last and of each other


class Found(NamedTuple):
    """The continuous layer of a fitted flow, with adaptive steps; rows as they enter it, the evaluations of each; nats to the entropy."""

    layer: Continuous
    y: Tensor
    evaluations: np.ndarray
    gap: float


def trained(data: Data, options: dict, seconds: float, seed: int) -> Flow:
    torch.manual_seed(seed)
    flow = ffjord((2,), solver="rk4", trace="hutchinson", time="squash", activation="tanh").prepend(*data.schema.layers())
    settings = {"batch": 256, "lr": 0.01, "weight_decay": 0.0, "patience": 0, "time_limit": seconds, "seed": seed, "progress": False}
    fit(flow, data.train, data.valid, **settings, **options)
    return flow.eval()


@torch.no_grad()
def measured(data: Data, flow: Flow) -> Found:
    """The same net behind the same layers, followed by dopri5."""
    *before, layer = flow.transform.transforms
    adaptive = Flow(flow.base, *before, Continuous(layer.net, layer.shape, solver="dopri5", tolerance=1e-5)).eval()
    score = evaluate(adaptive, data.test.pick(slice(TEST)))
    y = data.test.x[:MEASURED].to(flow.entry.dtype)
    for part in before:
        y = part.encode(y)
    *_, layer = adaptive.transform.transforms
    return Found(layer, y, layer.evaluations(y).numpy(), -data.entropy - score.nats)


@torch.no_grad()
def way(layer: Continuous, z: Tensor, times: Times) -> Tensor:
    """Where points are at each of the times, ``(times, B, 2)``."""
    places = [z]
    for step in pairwise(times):
        places += integrate(lambda t, z, full: (layer.net(z, t),), places[-1], (), times=step, solver="rk4")
    return torch.stack(places)


def hues(z: Tensor) -> dict:
    """Colours by the angle at which points lie in the noise."""
    return {"c": torch.atan2(z[:, 1], z[:, 0]).numpy(), "cmap": WHEEL, "vmin": -np.pi, "vmax": np.pi}


def plane(axes: Axes, title: str) -> None:
    bare(axes)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
    axes.set_title(title)


def draw_ways(axes: Axes, found: Found) -> None:
    """From data, dots, to noise."""
    places = way(found.layer, found.y[:CLOUD], even(0.0, 1.0, 50))
    axes.scatter(*places[0].T, color=RULE, s=5, linewidths=0)
    ways, end = places[:, :WAYS].transpose(0, 1), hues(places[-1, :WAYS])
    lines = LineCollection(list(ways.numpy()), array=end["c"], cmap=WHEEL, linewidths=1.1)
    lines.set_clim(-np.pi, np.pi)
    axes.add_collection(lines)
    axes.scatter(*ways[:, 0].T, s=9, linewidths=0, zorder=3, **end)


@torch.no_grad()
def draw_field(axes: Axes, found: Found, t: float) -> None:
    """The velocity on a grid, over the points as they lie at that time."""
    line = torch.linspace(-0.88 * REACH, 0.88 * REACH, 11)
    grid = torch.cartesian_prod(line, line)
    there = way(found.layer, found.y[:CLOUD], even(0.0, t, 25))[-1] if t else found.y[:CLOUD]
    axes.scatter(*there.T, color=RULE, s=3, linewidths=0)
    axes.quiver(*grid.T, *found.layer.net(grid, t).T, color=INK, angles="xy", scale=24, width=0.008)


@style()
def draw(found: dict[str, Found]) -> Figure:
    picture = figure(11, 7.4, gap=0.03)
    columns = picture.add_gridspec(1, len(found), wspace=0.1)
    most = max(part.evaluations.max() for part in found.values())
    for place, (name, part) in zip(columns, found.items()):
        ways, fields, counts = place.subgridspec(3, 1, height_ratios=[3, 1.3, 0.8])
        axes = picture.add_subplot(ways)
        plane(axes, f"{name}\n{number(part.gap)} nats from the best")
        draw_ways(axes, part)
        for small, t in zip(fields.subgridspec(1, 3), (0.0, 0.5, 1.0)):
            axes = picture.add_subplot(small)
            plane(axes, "")
            axes.set_title(f"t = {t:g}", fontsize=9, fontweight="normal")
            draw_field(axes, part, t)
        axes = picture.add_subplot(counts)
        axes.hist(part.evaluations, np.arange(4, most + 7, 6), color=COLOURS[name], weights=np.full(MEASURED, 1 / MEASURED))
        axes.axvline(part.evaluations.mean(), color=INK, linewidth=1)
        axes.set(xlim=(0, most + 6), yticks=[], xlabel="evaluations of the net, error 1e-5")
        axes.set_title(f"{part.evaluations.mean():.0f} on average", fontsize=9, fontweight="normal", color=SOFT)
        axes.spines["left"].set_visible(False)
    return picture


@style()
def animate(found: dict[str, Found], path: Path, seed: int) -> Path:
    """The same noise on its way back to data, by each of the nets."""
    noise = torch.randn(CLOUD, 2, generator=torch.Generator().manual_seed(seed))
    picture = figure(7.8, 2.9)
    picture.set_dpi(100)
    clouds = []
    for axes, (name, part) in zip(picture.subplots(1, len(found)), found.items()):
        plane(axes, name)
        clouds.append((axes.scatter(*noise.T, s=7, linewidths=0, **hues(noise)), way(part.layer, noise, even(1.0, 0.0, FRAMES))))
    frames = []
    for number_ in range(FRAMES + 1):
        for points, places in clouds:
            points.set_offsets(places[number_])
        picture.canvas.draw()
        frames.append(Image.fromarray(np.asarray(picture.canvas.buffer_rgba())).convert("RGB"))
    durations = [HOLD // 2, *[DURATION] * (FRAMES - 1), HOLD]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=50)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="8gaussians", help="a toy with a known entropy")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training")
    parser.add_argument("--price", type=float, default=0.01, help="of the kinetic energy and of the Jacobian's norm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="where picture and animation go")
    chosen = parser.parse_args()
    data = load(chosen.data)
    found = {}
    prices, matching = {"kinetic": chosen.price, "jacobian": chosen.price}, {"objective": "flow_matching"}
    for name, options in zip(COLOURS, ({}, prices, matching)):
        found[name] = measured(data, trained(data, options, chosen.seconds, chosen.seed))
        count = found[name].evaluations
        print(f"{name:24} {count.mean():5.1f} evaluations a row, {count.max()} at most; {found[name].gap:.4f} nats below minus the entropy")
    print(save(draw(found), chosen.out / "trajectories.png"))
    print(animate(found, chosen.out / "continuous.webp", chosen.seed))


if __name__ == "__main__":
    main()
