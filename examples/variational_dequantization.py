"""Bounds on the probability of whole numbers: uniform, logit-normal and mixture noise, importance weighting, the integral itself.

    python examples/variational_dequantization.py    # under a minute; the picture goes to runs/figures, or to --out

A fixed density of real numbers stands for a trained flow. Its integral over each bin [y, y + 1) is a difference of its distribution
function, so that each bound can be compared with what it bounds. The noise is trained, the density is not.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pushforward import Affine, Coupling, Dequantize, Elementwise, Flow, Inverse, Normal, Uniform
from pushforward.distributions import Free
from pushforward.likelihoods import DiscretizedLogisticMixture
from pushforward.nets import MLP
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, figure, style
from pushforward.univariate import GaussianMixtureCDF, Logit, MixtureQuantile, Univariate

LEVELS = 4
Y = torch.arange(float(LEVELS), dtype=torch.float64).unsqueeze(1)
U = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000  # midpoints of the bin, for integrals
SAMPLES = (1, 4, 16, 64, 256)


def density() -> Elementwise:
    """A mixture of five Gaussians as its distribution function: two share a bin, one sits on an edge."""
    cdf = Elementwise(GaussianMixtureCDF(5), (1,)).double()
    log_scale = torch.tensor([0.08, 0.08, 0.25, 0.15, 0.5], dtype=torch.float64).log()
    with torch.no_grad():
        cdf.h[0, :5, 0] = torch.tensor([0.3, 0.5, 0.0, 0.2, -0.5])
        cdf.h[0, 5:10, 0] = torch.tensor([0.25, 0.75, 2.0, 3.8, 1.4])
        cdf.h[0, 10:, 0] = 5 * torch.atanh(log_scale / 5)
    return cdf.requires_grad_(False)


def noise(univariate: Univariate) -> Flow:
    """``u = sigmoid(g(e))`` with normal e and g a scalar map whose parameters a net reads from y: drawing is its cheap direction."""
    layer = Coupling([False], univariate, MLP(1, univariate.params, width=32, depth=2))
    return Flow(Normal((1,)), Elementwise(Logit(), (1,)), Inverse(layer), context=1).double()


def train(flow: Flow, q: Flow, steps: int) -> None:
    """Maximum of the bound over the noise alone, all levels alike."""
    optimizer = torch.optim.Adam(q.parameters(), lr=0.02, betas=(0.9, 0.9))
    rows = Y.repeat(256, 1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        loss = -flow.log_prob(rows).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def log_q(q: Flow | None) -> Tensor:
    """Log density of the noise in each bin, ``(LEVELS, U)``."""
    if q is None:
        return torch.zeros(LEVELS, len(U), dtype=torch.float64)
    seen = ((2 * Y + 1) / LEVELS - 1).repeat_interleave(len(U), 0)
    return q.log_prob(U.repeat(LEVELS).unsqueeze(1), seen).view(LEVELS, -1)


@torch.no_grad()
def weighted(flow: Flow, draws: int) -> list[float]:
    """Mean over levels of the bound with K samples; means over groups of the same draws."""
    terms = flow.log_prob(Y.repeat(draws, 1)).view(draws, LEVELS)
    return [(terms.view(-1, k, LEVELS).logsumexp(1) - math.log(k)).mean().item() for k in SAMPLES]


def discretized(mass: Tensor, steps: int) -> tuple[float, float]:
    """Cross entropy of a discretized logistic mixture fitted to the masses, and the least there is."""
    share = mass.exp() / mass.exp().sum()
    model = Free(DiscretizedLogisticMixture(LEVELS, 3), (1,)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        loss = -(share * model.log_prob(Y)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), -(share * share.log()).sum().item()


@style()
def draw(cdf: Elementwise, noises: dict[str, Flow | None], curves: dict[str, list[float]], top: float) -> Figure:
    """The density and the noise in each bin, and the bounds against the number of samples."""
    picture = figure(12, 3.8)
    left, right = picture.subplots(1, 2, width_ratios=[2, 1])
    colours = dict(zip(noises, (INK, DATA, MODEL)))
    points = Y + U
    log_p = cdf(points.reshape(-1, 1))[1].view(LEVELS, -1)
    mass = (cdf(Y + 1)[0] - cdf(Y)[0]).log()
    left.fill_between(points.flatten(), (log_p - mass).exp().flatten(), color=INK, alpha=0.15, linewidth=0, label="p(u | y)")
    for name, q in noises.items():
        left.plot(points.flatten(), log_q(q).exp().flatten(), color=colours[name], label=name, linestyle="--" if q is None else "-")
    left.set(title="noise within the bins", xlabel="y + u", ylabel="density of u", xlim=(0, LEVELS), ylim=(0, 6))
    left.set_xticks(range(LEVELS + 1))
    left.legend(loc="upper right")
    for name, values in curves.items():
        right.plot(SAMPLES, values, "o-", color=colours[name], markersize=4, label=name)
    right.axhline(top, color=INK, linewidth=0.8, linestyle=":", label="log P(y)")
    right.set(title="bound, mean over y", xlabel="importance samples", ylabel="nats", xscale="log")
    right.set_xticks(SAMPLES, [str(k) for k in SAMPLES])
    right.legend(loc="lower right")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the picture")
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    chosen = parser.parse_args()
    start = time.process_time()
    torch.manual_seed(0)

    cdf = density()
    mass = (cdf(Y + 1)[0] - cdf(Y)[0]).log()[:, 0]
    log_p = cdf((Y + U).reshape(-1, 1))[1].view(LEVELS, -1)
    noises: dict[str, Flow | None] = {
        "uniform": None,
        "logit-normal": noise(Affine()),
        "mixture of 4 logistics": noise(MixtureQuantile(4, "logistic")),
    }
    curves = {}
    print(
        f"{'log p(y) is at least':24}"
        + "".join(f"   y = {y}" for y in range(LEVELS))
        + "    mean   with K ="
        + "".join(f"{k:8}" for k in SAMPLES)
    )
    for name, q in noises.items():
        flow = Flow(Uniform((1,)).double(), Dequantize(LEVELS, q), cdf)
        if q is not None:
            train(flow, q, chosen.steps)
        density_of_noise = log_q(q)
        bound = (density_of_noise.exp() * (log_p - density_of_noise)).mean(1)
        curves[name] = weighted(flow, 2**16)
        print(
            f"{name:24}"
            + "".join(f"{b:8.4f}" for b in bound)
            + f"{bound.mean():8.4f}"
            + " " * 12
            + "".join(f"{b:8.4f}" for b in curves[name])
        )
    print(f"{'log of the integral':24}" + "".join(f"{m:8.4f}" for m in mass) + f"{mass.mean():8.4f}")
    fitted, entropy = discretized(mass, chosen.steps)
    print(f"\nno noise at all: a discretized logistic mixture fitted to these masses, cross entropy {fitted:.4f}; entropy {entropy:.4f}")
    path = save(draw(cdf, noises, curves, mass.mean().item()), chosen.out / "variational_dequantization.png")
    print(f"\n{time.process_time() - start:.0f} CPU seconds; picture: {path}")


if __name__ == "__main__":
    main()
