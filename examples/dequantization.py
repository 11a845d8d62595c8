"""Dequantization: a density fitted to whole numbers as they are, and with uniform noise added.

    python examples/dequantization.py                # under a minute; the picture goes to runs/figures, or to --out

Without noise the likelihood rises as long as one trains, while the density becomes a comb. With noise u its mean stays below minus the
entropy of the data, since for each level ``E log p(y + u) <= log P(y)``, P(y) the mass of the bin [y, y + 1). Both sides are printed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.polynomial.legendre import leggauss

from pushforward import Dequantize, Elementwise, Flow, Transform, Uniform
from pushforward.data import load
from pushforward.plots import save
from pushforward.plots.style import DATA, INK, MODEL, figure, style
from pushforward.transforms import Standardize
from pushforward.univariate import GaussianMixtureCDF

Y = torch.arange(8.0, dtype=torch.float64).unsqueeze(1)  # the levels
BUMPS = 0.45 * torch.exp(-0.5 * ((Y - 1.8) / 0.9) ** 2) + 0.55 * torch.exp(-0.5 * ((Y - 5.4) / 1.0) ** 2)
SHARES = (BUMPS / BUMPS.sum())[:, 0]  # how often each level occurs
ENTROPY = -(SHARES * SHARES.log()).sum().item()
LOOKS = (1, 10, 100, 1000)


def flow_with(*noise: Transform) -> Flow:
    """A mixture of 16 Gaussians, as its CDF to a uniform; their widths may fall to exp(-30), so that nothing stops the spikes."""
    torch.manual_seed(0)
    mean = (SHARES @ Y).item()
    std = (SHARES @ (Y - mean).square()).sqrt().item()
    mixture = Elementwise(GaussianMixtureCDF(16, bound=30.0), (1,))
    with torch.no_grad():
        mixture.h[:, 32:] -= 1.0  # log-widths: as they start, the components all but coincide
    return Flow(Uniform((1,)), *noise, Standardize(mean, std), mixture).double()


def train(flow: Flow, steps: int, draws: int) -> np.ndarray:
    """Maximum likelihood over all levels, weighted by how often they occur; ``draws`` of the noise for each. The mean after each step."""
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.05, betas=(0.9, 0.9))
    rows, weight = Y.repeat(draws, 1), SHARES.repeat(draws) / draws
    seen = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 / (1 + step / 100)
        loss = -(weight * flow.log_prob(rows)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(-loss.item())
    return np.array(seen)


def behind_noise(flow: Flow) -> Flow:
    """The density of real numbers that a flow has behind its first layer, the noise."""
    return Flow(flow.base, *flow.transform.transforms[1:])


@torch.no_grad()
def sides(flow: Flow) -> tuple[torch.Tensor, torch.Tensor]:
    """``E log p(y + u)`` by Gauss's rule, and the mass of [y, y + 1) as a difference of the CDF, which is the flow itself: both (8,)."""
    node, weight = (torch.from_numpy(part) for part in leggauss(64))
    points = Y + (node + 1) / 2
    bound = flow.log_prob(points.reshape(-1, 1)).view_as(points) @ (weight / 2)
    return bound, (flow.encode(Y + 1) - flow.encode(Y))[:, 0]


@style()
@torch.no_grad()
def draw(raw: Flow, smooth: Flow, curves: dict[str, np.ndarray], mass: torch.Tensor) -> Figure:
    """The likelihood in training; the density without noise; the density with it, above the levels' shares."""
    picture = figure(12, 3.8)
    left, middle, right = picture.subplots(1, 3)
    for (name, curve), colour in zip(curves.items(), (MODEL, DATA)):
        left.plot(np.arange(1, len(curve) + 1), curve, color=colour, label=name)
    left.axhline(-ENTROPY, color=INK, linewidth=0.8, linestyle="--", label="minus the entropy")
    left.set(title="log-likelihood", xlabel="step", ylabel="nats", xscale="log")
    left.set_xticks(looks := [look for look in LOOKS if look <= len(curves["without noise"])], [f"{look:,}" for look in looks])
    left.legend(loc="upper left")

    x = torch.linspace(-0.5, 8.5, 9001, dtype=torch.float64)
    x = torch.cat([x, (Y + torch.logspace(-9, -1, 400) * torch.tensor([[1.0], [-1.0]]).unsqueeze(2)).flatten()]).sort().values.unsqueeze(1)
    middle.semilogy(x, raw.log_prob(x).exp().clamp_min(1e-6), color=MODEL, linewidth=1.0)
    middle.set(title="density without noise", xlabel="x", ylabel="density", ylim=(1e-4, None), xlim=(-0.6, 8.6))
    middle.set_yticks(heights := [10.0**k for k in range(-4, 4)], [f"{height:g}" for height in heights])

    levels = Y[:, 0].numpy()
    right.bar(levels, SHARES, width=1.0, align="edge", color=DATA, alpha=0.25, edgecolor="white", label="share of the level")
    right.plot(x, smooth.log_prob(x).exp(), color=MODEL, label="density")
    right.plot(levels + 0.5, mass, "o", color=INK, markersize=4, label="its integral over the bin")
    right.set(title="density with uniform noise", xlabel="x", ylabel="density", ylim=(0, 1.45 * SHARES.max()), xlim=(-0.6, 8.6))
    right.legend(loc="upper left", fontsize=9)
    for ax in (middle, right):
        ax.set_xticks(levels)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the picture")
    parser.add_argument("--steps", type=int, default=2000, help="of training")
    chosen = parser.parse_args()
    start = time.process_time()

    raw, noisy = flow_with(), flow_with(Dequantize())
    curves = {"without noise": train(raw, chosen.steps, 1), "with uniform noise": train(noisy, chosen.steps, 64)}
    print(f"8 levels, entropy {ENTROPY:.4f} nats; mean log-likelihood after so many steps:\n")
    looks = [look for look in (*LOOKS, chosen.steps) if look <= chosen.steps]
    print(f"{'':20}" + "".join(f"{look:>9}" for look in looks))
    for name, curve in curves.items():
        print(f"{name:20}" + "".join(f"{curve[look - 1]:9.3f}" for look in looks))

    smooth = behind_noise(noisy)
    bound, mass = sides(smooth)
    print("\nwith noise:\nlevel    share     mass   E log p(y+u)   log mass")
    for y, (share, whole, below) in enumerate(zip(SHARES, mass, bound)):
        print(f"{y:5} {share:8.4f} {whole:8.4f} {below:14.4f} {whole.log():10.4f}")
    print(f"\nmean: {SHARES @ bound:.4f} (what training maximizes) <= {SHARES @ mass.log():.4f} <= {-ENTROPY:.4f} (minus the entropy)")

    rows = np.random.default_rng(0).choice(8, 5000, p=SHARES.numpy())
    print(f"\nA column of such numbers, as pushforward reads it:\n  {' '.join(load(rows[:, None]).notes)}")
    print(f"The same column declared real:\n  {' '.join(load(rows[:, None], kinds={'x0': 'real'}).notes)}")
    path = save(draw(raw, smooth, curves, mass), chosen.out / "dequantization.png")
    print(f"\n{time.process_time() - start:.0f} CPU seconds; picture: {path}")


if __name__ == "__main__":
    main()
