"""The 2-D autoregressive flow on two moons: z1 = CDF of a mixture of five Gaussians, z2 the same with parameters from a net of x1.

    python examples/two_moons.py                # a minute; the picture goes to runs/figures, or to --out

Prints the gap between the entropy of the data and the negative log-likelihood on new points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from pushforward import Flow
from pushforward.data import Data, load
from pushforward.evaluation import evaluate
from pushforward.models import mixture_cdf
from pushforward.plots import save
from pushforward.plots.plane import cloud, density_grid, frame, mesh, scale, window
from pushforward.plots.style import RULE, WHEEL, figure, number, style
from pushforward.training import fit

SHOWN = 4000  # points of a cloud


@style()
@torch.no_grad()
def draw(data: Data, flow: Flow, gap: float) -> Figure:
    """Data, density and samples; below, where the flow carries the data, before and after training."""
    x, columns = data.test.x, data.schema.columns
    spans = window(x.numpy(), columns)
    grid = density_grid(flow, spans, columns)
    norm = scale(grid.heights)
    picture = figure(10.5, 3.9)
    left, middle, right = picture.subplots(1, 3)
    cloud(left, x.numpy(), spans, columns, norm)
    left.set_title("data")
    mesh(middle, grid, norm)
    middle.set_title(f"density, {number(gap)} nats from the best")
    cloud(right, flow.sample((len(x),)).double().numpy(), spans, columns, norm)
    right.set_title("samples")
    for ax in (left, middle, right):
        frame(ax, spans, columns)
        ax.set(xlabel="x₁", ylabel="x₂")
    return picture


@style()
@torch.no_grad()
def draw_latents(data: Data, before: Flow, after: Flow) -> Figure:
    """The data in colours, and the unit square they are carried to before and after training."""
    x = data.test.x[:SHOWN]
    hue = np.arctan2(*(x - x.mean(0)).T.flip(0).numpy())
    picture = figure(10.5, 3.9)
    panels = [("data x", x), ("latent z before training", before.encode(x)), ("latent z after training", after.encode(x))]
    for ax, (title, points) in zip(picture.subplots(1, 3), panels):
        ax.scatter(*points.T.numpy(), c=hue, cmap=WHEEL, vmin=-np.pi, vmax=np.pi, s=4, alpha=0.8, linewidths=0)
        ax.set_title(title)
        if points is x:
            frame(ax, window(x.numpy(), data.schema.columns), data.schema.columns)
            ax.set(xlabel="x₁", ylabel="x₂")
        else:
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="z₁", ylabel="z₂")
            ax.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=RULE, linewidth=1)
            ax.set_box_aspect(1)
    return picture


def flow_for(data: Data, components: int) -> Flow:
    torch.manual_seed(0)
    return mixture_cdf((2,), components=components).prepend(*data.schema.layers())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the pictures")
    parser.add_argument("--components", type=int, default=5, help="Gaussians in each mixture")
    parser.add_argument("--steps", type=int, default=6000, help="of training, with 512 points each")
    chosen = parser.parse_args()
    data = load("moons")
    before, flow = flow_for(data, chosen.components), flow_for(data, chosen.components)
    history = fit(flow, data.train, data.valid, steps=chosen.steps, batch=512, lr=2e-3, ema=0.999, progress=False)
    score = evaluate(flow, data.test)
    assert data.entropy is not None
    gap = -data.entropy - score.nats
    print(f"moons, {chosen.components} components: {score.nats:.4f} ± {score.stderr:.4f} nats per point, {gap:.4f} below minus the entropy")
    print(f"{history.steps} steps in {history.seconds:.0f} s")
    save(draw(data, flow, gap), chosen.out / "two_moons.png")
    save(draw_latents(data, before, flow), chosen.out / "two_moons_latents.png")
    print(f"pictures: {chosen.out}/two_moons*.png")


if __name__ == "__main__":
    main()
