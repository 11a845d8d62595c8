"""Bijection, surjection, VAE: each layer as the set of (x, z) that it joins, and what an absolute value does for symmetric data.

    python examples/survae.py                        # a minute; the pictures go to runs/figures, or to --out

Prints the table of layers: which way is a function and which is random, the term that each adds to the likelihood, and what that makes of
it, as the layers themselves say. Then a coupling flow and the same flow behind |x| learn a checkerboard.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from pushforward import Affine, Elementwise, Flow, Inverse, Normal, Transform
from pushforward.data import Data, load
from pushforward.distributions import Free, Given
from pushforward.evaluation import evaluate
from pushforward.likelihoods import HalfNormal
from pushforward.likelihoods import Normal as NormalLikelihood
from pushforward.models import abs_flow, nsf
from pushforward.plots import save
from pushforward.plots.plane import cloud, density_grid, frame, mesh, scale, window
from pushforward.plots.style import DATA, INK, MODEL, THIRD, figure, number, style
from pushforward.training import fit
from pushforward.transforms import VAE, Abs, Augment, Dequantize, Gaps, MaxPool2d, Slice, Sort, StochasticPermutation
from pushforward.univariate import Softplus


def linear_normal(inputs: int, outputs: int) -> Given:
    return Given(NormalLikelihood(), nn.Linear(inputs, 2 * outputs), (outputs,), context=inputs)


FAMILY: list[tuple[str, Transform, tuple[int, ...], str]] = [
    ("any bijection", Elementwise(Affine(), (2,)), (2,), "log abs det dz/dx"),
    ("`Abs()`", Abs(), (2,), "-D log 2"),
    ("`Abs(decoder)`", Abs(Normal((2,))), (2,), "log p(signs given z)"),
    ("`Sort()`", Sort(), (2,), "-log L!"),
    ("`Gaps(part)`", Gaps(Inverse(Elementwise(Softplus()))), (2,), "that of the part"),
    ("`MaxPool2d(decoder)`", MaxPool2d(Free(HalfNormal(), (3, 1, 1))), (1, 2, 2), "log p(differences given z) - cells log 4"),
    ("`Slice(keep, decoder)`", Slice(1, Normal((1,))), (2,), "log p(dropped given z)"),
    ("`Inverse(Dequantize(noise=q))`", Inverse(Dequantize()), (2,), "log q(x - z given z)"),
    ("`Dequantize(noise=q)`", Dequantize(), (2,), "-log q(z - x given x)"),
    ("`Augment(q)`", Augment(Normal((1,))), (2,), "-log q(e given x)"),
    ("`Inverse(Abs())`", Inverse(Abs()), (2,), "+D log 2"),
    ("`StochasticPermutation()`", StochasticPermutation(), (2,), "0"),
    ("`VAE(encoder, decoder)`", VAE(linear_normal(2, 1), linear_normal(1, 2)), (2,), "log p(x given z) - log q(z given x)"),
]


def table() -> list[tuple[str, str, str, str, str]]:
    """Layer, x -> z, z -> x, ldj, kind of likelihood; the facts are the layers' own."""
    rows = []
    for name, layer, shape, term in FAMILY:
        latent = layer(torch.rand(2, *shape))[0].shape[1:]
        ways = ("random" if random else "a function" for random in (layer.stochastic_forward, layer.stochastic_inverse))
        rows.append((name, *ways, term, Flow(Normal(latent), layer, shape=shape).kind))
    return rows


@style()
def draw_family() -> Figure:
    """Where (x, z) may lie: above each x its z, beside each z its x."""
    picture = figure(12, 3.2)
    panels: list[Axes] = list(picture.subplots(1, 4))
    x = np.linspace(-3, 3, 400)
    panels[0].plot(x, np.tanh(x) * 1.5 + 0.4 * x, color=DATA)
    panels[0].set_title("bijection: one z, one x")
    panels[1].plot(x, np.abs(x), color=DATA)
    panels[1].set_title("surjection: one z, x drawn")
    for k in range(-2, 3):
        panels[2].plot([k, k], [k, k + 1], color=MODEL, linewidth=3)
    panels[2].set_title("its inverse: z drawn, one x")
    grid = np.linspace(-3, 3, 200)
    a, b = np.meshgrid(grid, grid)
    panels[3].contourf(a, b, np.exp(-((b - 1.2 * np.tanh(a)) ** 2) / 0.5 - a**2 / 5), levels=12, cmap="Greens")
    panels[3].set_title("VAE: z drawn, x drawn")
    for ax, example, mark in zip(panels, ("spline", "Abs", "Dequantize", "encoder, decoder"), (DATA, DATA, MODEL, THIRD)):
        ax.axhline(1.0, color=INK, linewidth=0.6, linestyle=":")
        ax.axvline(1.0, color=INK, linewidth=0.6, linestyle=":")
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xlabel="x", ylabel="z")
        ax.text(2.8, -2.8, example, color=mark, ha="right")
        ax.set_box_aspect(1)
    return picture


@style()
@torch.no_grad()
def draw_densities(data: Data, flows: dict[str, Flow], gaps: dict[str, float]) -> Figure:
    """The data, and the density of each flow in the same colours."""
    x, columns = data.test.x.numpy(), data.schema.columns
    spans = window(x, columns)
    grids = {name: density_grid(flow, spans, columns) for name, flow in flows.items()}
    norm = scale(np.stack([grid.heights for grid in grids.values()]))
    picture = figure(12, 4.2)
    left, *others = picture.subplots(1, 1 + len(flows))
    cloud(left, x, spans, columns, norm)
    left.set_title("data")
    for ax, (name, grid) in zip(others, grids.items()):
        mesh(ax, grid, norm)
        ax.set_title(f"{name}: {number(gaps[name])} nats left")
    for ax in (left, *others):
        frame(ax, spans, columns)
        ax.set(xlabel="x₁", ylabel="x₂")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the pictures")
    parser.add_argument("--steps", type=int, default=1000, help="of training, with 512 points each")
    chosen = parser.parse_args()
    start = time.process_time()
    print("| layer | x to z | z to x | `ldj` | `log_prob` is |\n|---|---|---|---|---|")
    for row in table():
        print("|", " | ".join(row), "|")
    save(draw_family(), chosen.out / "survae_family.png")

    data = load("checkerboard")
    assert data.entropy is not None
    sizes = {"steps": 3, "width": 48}
    torch.manual_seed(0)
    flows = {
        "couplings": nsf((2,), mechanism="coupling", marginals=16, **sizes),
        "behind |x|": abs_flow((2,), signs="learned", **sizes),
    }
    gaps = {}
    for name in flows:
        flows[name] = flows[name].prepend(*data.schema.layers())
        fit(flows[name], data.train, data.valid, steps=chosen.steps, batch=512, lr=2e-3, ema=0.999, progress=False)
        score = evaluate(flows[name], data.test)
        gaps[name] = -data.entropy - score.nats
        print(f"checkerboard, {name}: {score.nats:.4f} ± {score.stderr:.4f} nats per point, {gaps[name]:.4f} below minus the entropy")
    save(draw_densities(data, flows, gaps), chosen.out / "survae_checkerboard.png")
    print(f"{time.process_time() - start:.0f} CPU seconds; pictures: {chosen.out}/survae_*.png")


if __name__ == "__main__":
    main()
