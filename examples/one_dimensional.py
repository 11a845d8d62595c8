"""One-dimensional flows: two bumps carried to a Gaussian, a uniform and a Beta(5, 5), and by other increasing maps.

    python examples/one_dimensional.py                # a minute; pictures go to runs/figures, or to --out

Prints, for each flow, the gap between the entropy of the data and its negative log-likelihood on new points.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pushforward import ActNorm, Affine, Beta, Distribution, Elementwise, Flow, Normal, RationalQuadratic, Transform, Uniform
from pushforward.data import Rows
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, THIRD, figure, number, style
from pushforward.training import fit
from pushforward.univariate import GaussianMixtureCDF, MixtureQuantile, OddPolynomial, Sigmoid, SumOfSquares, Univariate

STEPS = 3000
WINDOW = np.linspace(-4.5, 5.0, 801)


def density(x: np.ndarray) -> np.ndarray:
    """The true density: 0.4 N(-1.8, 0.5) and 0.6 of a bump that leans, Gumbel(1, 0.6)."""
    u = (x - 1.0) / 0.6
    return 0.4 * np.exp(-0.5 * ((x + 1.8) / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi)) + 0.6 * np.exp(-u - np.exp(-u)) / 0.6


def draw(n: int, rng: np.random.Generator) -> torch.Tensor:
    """Independent points (n, 1)."""
    left = rng.random(n) < 0.4
    return torch.from_numpy(np.where(left, rng.normal(-1.8, 0.5, n), rng.gumbel(1.0, 0.6, n))[:, None]).float()


def entropy() -> float:
    """By quadrature, in nats."""
    x = np.linspace(-12, 25, 200_001)
    p = density(x)
    return float(-np.trapezoid(p * np.log(p + 1e-300), x))


def one(univariate: Univariate) -> Transform:
    return Elementwise(univariate, (1,))


def latents() -> dict[str, Flow]:
    """The same mixture with eight components, to three bases."""
    return {
        "gaussian": Flow(Normal((1,)), one(MixtureQuantile(8))),
        "uniform": Flow(Uniform((1,)), one(GaussianMixtureCDF(8))),
        "beta": Flow(Beta((1,), 5.0, 5.0), one(GaussianMixtureCDF(8))),
    }


def maps() -> dict[str, Flow]:
    """Other increasing maps, and a composition of them."""

    def to_normal(*univariates: Univariate) -> Flow:
        return Flow(Normal((1,)), *(layer for univariate in univariates for layer in (ActNorm(1), one(univariate))), ActNorm(1))

    return {
        "affine": to_normal(Affine()),
        "sigmoid to uniform": Flow(Uniform((1,)), ActNorm(1), one(Affine()), one(Sigmoid())),
        "odd polynomial": to_normal(OddPolynomial(7)),
        "sum of squares": to_normal(SumOfSquares(3, 3)),
        "spline": to_normal(RationalQuadratic(16, bound=3.0)),
        "polynomials composed": to_normal(SumOfSquares(2, 2), SumOfSquares(2, 2), SumOfSquares(2, 2)),
    }


def train(flow: Flow, rng: np.random.Generator) -> Flow:
    fit(flow, Rows(draw(50_000, rng)), Rows(draw(5_000, rng)), steps=STEPS, batch=512, lr=2e-2, progress=False)
    return flow


@torch.no_grad()
def curves(flow: Flow) -> tuple[np.ndarray, np.ndarray]:
    """The model's density and its map over the window."""
    x = torch.from_numpy(WINDOW[:, None]).float()
    return flow.log_prob(x).exp().numpy(), flow.encode(x)[:, 0].numpy()


def base_density(base: Distribution, z: np.ndarray) -> np.ndarray:
    return base.log_prob(torch.from_numpy(z[:, None]).float()).exp().numpy()


@style()
def before_and_after(name: str, stages: dict[str, Flow], x: torch.Tensor) -> Figure:
    """For each stage: densities of x, the map, and where it carries the data."""
    span = (-4.2, 4.2) if name == "gaussian" else (0.0, 1.0)
    z_axis = np.linspace(*span, 400)
    picture = figure(10.5, 5.6)
    for row, (stage, flow) in zip(picture.subplots(2, 3), stages.items()):
        model, z = curves(flow)
        _data(row[0], x, model)
        row[0].set_title(f"{stage}: density of x")
        row[1].plot(WINDOW, z, color=INK)
        row[1].set_title("flow x → z")
        row[1].set_xlabel("x")
        row[1].set_ylabel("z")
        row[1].set_ylim(*span)
        carried = flow.encode(x).detach()[:, 0].numpy()
        row[2].hist(carried, 60, range=span, density=True, color=THIRD, alpha=0.35, label="data carried to z")
        row[2].plot(z_axis, base_density(flow.base, z_axis), color=THIRD, label="base")
        row[2].set_title("distribution of z")
        row[2].set_xlabel("z")
        row[2].set_xlim(*span)
        row[2].set_ylim(0, 2.4 * base_density(flow.base, z_axis).max())
        row[2].legend(loc="upper right")
    return picture


@style()
def side_by_side(flows: dict[str, Flow], gaps: dict[str, float], x: torch.Tensor) -> Figure:
    """For each map: its density above, its curve below."""
    picture = figure(13, 4.6)
    for (above, below), (name, flow) in zip(picture.subplots(2, len(flows), sharex=True).T, flows.items()):
        model, z = curves(flow)
        _data(above, x, model, legend=False)
        above.set_ylim(0, 0.5)
        above.set_title(f"{name}\ngap {number(gaps[name])}", fontsize=9.5)
        above.set_xlabel("")
        below.plot(WINDOW, z, color=INK)
        below.set_ylim(*((0, 1) if name.endswith("uniform") else (-4.5, 4.5)))
        below.set_xticks([-4, -2, 0, 2, 4])
        below.set_xlabel("x")
        if name == next(iter(flows)):
            above.set_ylabel("density")
            below.set_ylabel("z")
    return picture


def _data(ax: Axes, x: torch.Tensor, model: np.ndarray, legend: bool = True) -> None:
    ax.hist(x[:, 0].numpy(), 80, range=(WINDOW[0], WINDOW[-1]), density=True, color=DATA, alpha=0.25, label="data")
    ax.plot(WINDOW, density(WINDOW), color=DATA, label="true density")
    ax.plot(WINDOW, model, color=MODEL, label="flow")
    ax.set_xlim(WINDOW[0], WINDOW[-1])
    ax.set_ylim(0, 0.62)
    ax.set_xlabel("x")
    if legend:
        ax.legend(loc="upper right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the pictures")
    out = parser.parse_args().out
    rng = np.random.default_rng(0)
    test, shown, best = draw(100_000, rng), draw(20_000, rng), entropy()
    gaps: dict[str, float] = {}

    def gap(name: str, flow: Flow) -> float:
        with torch.no_grad():
            gaps[name] = -flow.log_prob(test).mean().item() - best
        print(f"{name:22} {gaps[name]:8.4f} nats above the entropy", flush=True)
        return gaps[name]

    print(f"entropy {best:.4f} nats; 50,000 points, {STEPS} steps of 512\n")
    for name, flow in latents().items():
        torch.manual_seed(0)
        start = copy.deepcopy(flow)
        gap(f"mixture to {name}", train(flow, rng))
        save(before_and_after(name, {"before": start, "after": flow}, shown), out / f"one_dimensional_{name}.png")
    flows = maps()
    for name, flow in flows.items():
        torch.manual_seed(0)
        gap(name, train(flow, rng))
    save(side_by_side(flows, gaps, shown), out / "one_dimensional_maps.png")
    print(f"\npictures: {out}/one_dimensional_*.png")


if __name__ == "__main__":
    main()
