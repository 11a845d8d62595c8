"""Neural importance sampling: an integral over the unit cube by samples of a flow that learns to put them where the integrand is.

    python examples/neural_importance_sampling.py         # two minutes; the picture goes to runs/figures, or to --out

Couplings of piecewise-quadratic splines map the cube onto itself, with a uniform base, so every sample has a density q > 0 and
``f(x) / q(x)`` is an unbiased estimate of the integral of f, before, during and after training. Training follows the
gradient of KL(f / I || q) on the flow's own weighted samples, ``-E_q[f(x) / q(x) d log q(x)]``, which needs no samples of f and no
derivative of f. Prints the estimate before and after, and the variance of one sample against that of uniform sampling.

Reference: Neural Importance Sampling, Müller, McWilliams, Rousselle, Gross, Novák, 2018, arXiv:1808.03856.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from pushforward import Coupling, Flow, Uniform
from pushforward.nets import MLP
from pushforward.plots.style import DATA, DATA_MAP, INK, MODEL, MODEL_MAP, figure, save, style
from pushforward.transforms import Standardize
from pushforward.univariate import QuadraticSpline

PEAK = 0.08  # standard deviation of each peak
CORNERS = (0.25, 0.75)  # where they are, along every other axis


class OneBlob(nn.Module):
    """Each number as a bump over ``bins`` places of [-1, 1], ``(B, D) -> (B, bins D)``: the paper's encoding, section 4.3."""

    def __init__(self, bins: int = 32):
        super().__init__()
        self.bins = bins
        self.register_buffer("centers", (torch.arange(bins) + 0.5) * (2 / bins) - 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((x.unsqueeze(2) - self.centers) * (self.bins / 2)).square()).flatten(1)


def sampler(dim: int, bins: int = 16, width: int = 64) -> Flow:
    """Couplings that read the features whose number has a given binary digit, and those that have not: every pair meets."""
    layers: list[Coupling] = []
    for digit in range(math.ceil(math.log2(dim))):
        for kept in (0, 1):
            mask = [(i >> digit) % 2 == kept for i in range(dim)]
            spline = QuadraticSpline(bins, bound=1.0, free_ends=True)
            net = nn.Sequential(OneBlob(), MLP(32 * sum(mask), spline.params * (dim - sum(mask)), width=width))
            layers.append(Coupling(mask, spline, net))
    return Flow(Uniform((dim,), -1.0, 1.0), Standardize(0.5, 0.5), *layers)


def peaks(dim: int) -> Tensor:
    """Two places off the diagonal, (2, dim): no product of densities of one coordinate covers both alone."""
    return torch.tensor([[CORNERS[(i + j) % 2] for i in range(dim)] for j in (0, 1)])


def integrand(x: Tensor) -> Tensor:
    """``sum_j exp(-|x - c_j|^2 / (2 PEAK^2))``, (B, dim) -> (B,)."""
    return (-0.5 * ((x.unsqueeze(1) - peaks(x.shape[1])) / PEAK).square().sum(2)).exp().sum(1)


def exact(dim: int) -> float:
    """The integral over the unit cube, by the error function."""
    scale = PEAK * math.sqrt(2)
    axis = (torch.erf((1 - peaks(dim)) / scale) + torch.erf(peaks(dim) / scale)).double() * (PEAK * math.sqrt(math.pi / 2))
    return axis.prod(1).sum().item()


@torch.no_grad()
def weights(flow: Flow, n: int) -> tuple[Tensor, Tensor]:
    """Samples and ``f(x) / q(x)``, whose mean estimates the integral."""
    x, log_q = flow.sample_and_log_prob((n,))
    return x, integrand(x) * (-log_q).exp()


def train(flow: Flow, steps: int, rows: int, rate: float = 3e-3) -> None:
    optimizer = torch.optim.Adam(flow.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, weight = weights(flow, rows)
        loss = -(weight * flow(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def report(name: str, weight: Tensor, truth: float, seconds: float) -> None:
    weight = weight.double()
    mean, error = weight.mean().item(), (weight.std() / math.sqrt(len(weight))).item()
    relative = weight.std().item() / truth
    print(f"{name:8} {mean:.7f} ± {error:.7f}   {(mean - truth) / error:+.1f} errors off   ", end="")
    print(f"deviation of one sample {relative:.3f} of the integral   {1e6 * seconds / len(weight):.1f} s per million")


@style()
def draw(before: Tensor, after: Tensor, samples: Tensor, truth: float) -> Figure:
    """The integrand and the samples in two coordinates, and both estimates as samples come in."""
    picture = figure(11.0, 3.6, 0.04)
    left, middle, right = picture.subplots(1, 3)
    ticks = (torch.arange(200) + 0.5) / 200
    plane = torch.cartesian_prod(ticks, ticks)
    square = (-0.5 * ((plane.unsqueeze(1) - peaks(2)) / PEAK).square().sum(2)).exp().sum(1).reshape(200, 200)
    left.imshow(square.T, origin="lower", extent=(0, 1, 0, 1), cmap=DATA_MAP)
    left.set(title="integrand", xlabel="x₁", ylabel="x₂")
    middle.hist2d(*samples[:, :2].T.numpy(), bins=100, range=[(0, 1), (0, 1)], cmap=MODEL_MAP)
    middle.set(title="samples of the flow", xlabel="x₁", ylabel="x₂", aspect="equal")
    for weight, colour, name in ((before, DATA, "uniform"), (after, MODEL, "flow")):
        count = torch.logspace(2, math.log10(len(weight)), 200).long()
        sums, squares = (weight.double() ** power for power in (1, 2))
        mean = sums.cumsum(0)[count - 1] / count
        error = ((squares.cumsum(0)[count - 1] / count - mean**2) / count).sqrt()
        right.plot(count, mean / truth, color=colour, label=name)
        right.fill_between(count, (mean - error) / truth, (mean + error) / truth, color=colour, alpha=0.25, linewidth=0)
    right.axhline(1, color=INK, linewidth=0.6)
    right.set(title="estimate / integral", xlabel="samples", xscale="log", ylim=(0.5, 1.5))
    places = [10**k for k in range(2, 7) if 10**k <= len(before)]
    right.set_xticks(places, [f"{n:,}" for n in places])
    right.legend()
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--rows", type=int, default=1024, help="samples for a step")
    parser.add_argument("--samples", type=int, default=2**18, help="for an estimate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the picture")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    flow, truth = sampler(options.dim), exact(options.dim)
    start = time.process_time()
    before = integrand(torch.rand(options.samples, options.dim))
    uniform_seconds, start = time.process_time() - start, time.process_time()
    train(flow, options.steps, options.rows)
    training_seconds, start = time.process_time() - start, time.process_time()
    samples, after = weights(flow, options.samples)
    flow_seconds = time.process_time() - start

    print(f"integral over the {options.dim}-dimensional cube: {truth:.7f}; {options.samples} samples each; seed {options.seed}")
    report("uniform", before, truth, uniform_seconds)
    report("flow", after, truth, flow_seconds)
    ratio = (before.double().var() / after.double().var()).item()
    print(f"variance of one sample: {ratio:.0f} times less, after {training_seconds:.0f} s of training (times are the processor's)")
    print(save(draw(before, after, samples, truth), options.out / "neural_importance_sampling.png"))


if __name__ == "__main__":
    main()
