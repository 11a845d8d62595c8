"""Reverse KL: flows fitted to densities that are known up to their normalizer, which comes out too.

    python examples/reverse_kl.py                                     # the table: a minute or two for each line
    python examples/reverse_kl.py --out runs/figures

Targets: eight Gaussians on a circle, times exp(3.7), and a Gaussian in 32 dimensions whose neighbours correlate with 0.9.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward.core import Flow
from pushforward.evaluation import importance
from pushforward.models import iaf, nsf, real_nvp
from pushforward.plots.style import DENSITY, MODEL, bare, figure, save, style
from pushforward.training import DensityFit, fit_density

ANGLES = torch.arange(8) * (math.pi / 4)
CENTRES = 4 / 1.414 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)  # (8, 2)
WIDTH = 0.5 / 1.414
PLACES = torch.arange(32.0, dtype=torch.float64)
COVARIANCE = 0.9 ** (PLACES[:, None] - PLACES).abs()
PRECISION = torch.linalg.inv(COVARIANCE).float()


def eight_gaussians(x: Tensor) -> Tensor:
    """``log p~`` of rows ``(N, 2)``; the eight weigh the same."""
    squares = (x[:, None] - CENTRES).square().sum(2)
    return (-squares / (2 * WIDTH**2)).logsumexp(1) - math.log(8 * 2 * math.pi * WIDTH**2) + 3.7


def correlated_gaussian(x: Tensor) -> Tensor:
    """``log p~ = -x^T P x / 2`` of rows ``(N, 32)``, without its constant."""
    return -0.5 * ((x @ PRECISION) * x).sum(1)


@dataclass(frozen=True)
class Target:
    log_prob: Callable[[Tensor], Tensor]
    dim: int
    log_z: float


TARGETS = {
    "eight Gaussians": Target(eight_gaussians, 2, 3.7),
    "Gaussian, D=32": Target(correlated_gaussian, 32, 16 * math.log(2 * math.pi) + 0.5 * float(torch.logdet(COVARIANCE))),
}
MODELS: dict[str, Callable[[int], Flow]] = {
    "real_nvp": lambda dim: real_nvp((dim,)),
    "nsf (coupling)": lambda dim: nsf((dim,), mechanism="coupling"),
    "iaf": lambda dim: iaf((dim,)),
}


def run(model: str, target: str, seed: int = 0, progress: bool = False) -> tuple[Flow, DensityFit]:
    """A fit with nothing but defaults."""
    torch.manual_seed(seed)
    goal = TARGETS[target]
    flow = MODELS[model](goal.dim)
    return flow, fit_density(flow, goal.log_prob, seed=seed, progress=progress)


def shares(flow: Flow, n: int = 10_000) -> Tensor:
    """The share of samples nearest to each of the eight centres and within 3 widths of it."""
    distance, nearest = torch.cdist(flow.sample((n,)), CENTRES).min(1)
    return torch.bincount(nearest[distance < 3 * WIDTH], minlength=8) / n


def row(model: str, target: str, flow: Flow, fit: DensityFit) -> str:
    truth = TARGETS[target].log_z
    least = f"{shares(flow).min():.3f}" if flow.shape == (2,) else ""
    estimate = f"{fit.log_z:.3f} ± {fit.log_z_stderr:.3f}"
    figures = f"{truth:.3f} | {estimate} | {fit.elbo:.3f} | {fit.ess:.1%} | {fit.pareto_k:.2f} | {least} | {fit.seconds:.0f} s"
    return f"| {target} | {model} | {figures} |"


@style()
def draw(flows: dict[str, Flow], path: Path) -> None:
    """The energy, then for each flow its samples and the same samples with their importance weights as areas."""
    reach = 4.6
    ends = np.linspace(-reach, reach, 200)
    grid = torch.from_numpy(np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2)).float()
    picture = figure(3.0 * (len(flows) + 1), 6.2)
    panels = picture.subplots(2, len(flows) + 1)
    for ax, values, title in (
        (panels[0, 0], eight_gaussians(grid).exp(), "density, up to its normalizer"),
        (panels[1, 0], eight_gaussians(grid).clamp_min(-30), "its logarithm"),
    ):
        ax.pcolormesh(ends, ends, values.reshape(200, 200).numpy(), cmap=DENSITY, shading="nearest", rasterized=True)
        ax.set_title(title)
    for column, (name, flow) in enumerate(flows.items(), 1):
        found = importance(flow, eight_gaussians, 4000)
        areas = (found.log_weight.exp() * len(found.x)).numpy()
        for ax, sizes, title in (
            (panels[0, column], np.ones(len(areas)), name),
            (panels[1, column], areas, f"weighted, ESS {found.ess:.0%}"),
        ):
            ax.scatter(found.x[:, 0], found.x[:, 1], s=2.0 * sizes, color=MODEL, alpha=0.5, linewidths=0)
            ax.set_title(title)
    for ax in panels.flat:
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_box_aspect(1)
        bare(ax)
    save(picture, path)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, help="folder to draw the eight Gaussians to; no picture without it")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    print("| target | flow | log Z | estimate | ELBO | ESS | Pareto k | least mode | training |\n|---|---|---|---|---|---|---|---|---|")
    flows = {}
    for target in TARGETS:
        for model in MODELS:
            flow, fit = run(model, target, chosen.seed, progress=True)
            print(row(model, target, flow, fit), flush=True)
            if TARGETS[target].dim == 2:
                flows[model] = flow
    if chosen.out:
        draw(flows, chosen.out / "reverse_kl.png")


if __name__ == "__main__":
    main()
