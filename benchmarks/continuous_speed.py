"""A training step and a density of a continuous flow beside the same flow on torchdiffeq and on zuko's transform.

    OMP_NUM_THREADS=1 python benchmarks/continuous_speed.py [--rounds 15] [--out benchmarks/results/continuous_speed.md]

All use one net (16 numbers, 64-64-64, tanh, its weights drawn), 512 rows, Adam, one thread, and the trace by one random probe in training
and exact in densities. torchdiffeq solves by RK4 in 8 steps as we do, its gradients through the steps. zuko's solver is adaptive; its
tolerance is the widest of a ladder for which it takes no fewer evaluations than ours, so that work is the same or, where no rung is near,
more: evaluations are told. Contenders take turns in each round; times are CPU seconds of the process, medians over rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchdiffeq
import zuko
from torch import Tensor, nn

from pushforward.nets import TimeMLP
from pushforward.transforms import Continuous
from pushforward.transforms.integrate import evaluations

D, ROWS, STEPS = 16, 512, 8


class Counted(nn.Module):
    """The net as f(t, x), its evaluations counted."""

    def __init__(self, net: TimeMLP):
        super().__init__()
        self.net, self.calls = net, 0

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        self.calls += 1
        return self.net(x, t)


Pass = Callable[[Tensor, bool], tuple[Tensor, Tensor]]  # rows, whether the trace is exact -> z, ldj


def ours(net: TimeMLP) -> Pass:
    layers = {exact: Continuous(net, (D,), steps=STEPS, trace="exact" if exact else "hutchinson") for exact in (False, True)}
    return lambda x, exact: layers[exact](x)


def of_torchdiffeq(f: Counted) -> Pass:
    def run(x: Tensor, exact: bool) -> tuple[Tensor, Tensor]:
        graph = torch.is_grad_enabled()
        probe = torch.randint(2, x.shape).to(x) * 2 - 1

        def field(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                z = state[0] if graph and state[0].requires_grad else state[0].detach().requires_grad_()
                dz = f(t, z)
                if exact:  # a product with each unit vector, as FFJORD's code has it
                    parts = [torch.autograd.grad(dz[:, i].sum(), z, create_graph=graph, retain_graph=True)[0][:, i] for i in range(D)]
                    trace = torch.stack(parts).sum(0)
                else:
                    trace = (torch.autograd.grad(dz, z, probe, create_graph=graph)[0] * probe).sum(1)
            return (dz, trace) if graph else (dz.detach(), trace.detach())

        ends = torch.tensor([0.0, 1.0])
        z, ldj = torchdiffeq.odeint(field, (x, x.new_zeros(len(x))), ends, method="rk4", options={"step_size": 1 / STEPS})
        return z[-1], ldj[-1]

    return run


def of_zuko(f: Counted, tolerance: float) -> Pass:
    def run(x: Tensor, exact: bool) -> tuple[Tensor, Tensor]:
        return zuko.transforms.FreeFormJacobianTransform(f, phi=f.parameters(), atol=tolerance, rtol=tolerance, exact=exact).call_and_ladj(
            x
        )

    return run


def loss(way: Pass, x: Tensor, exact: bool) -> Tensor:
    z, ldj = way(x, exact)
    return (0.5 * z.square().sum(1) - ldj).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = TimeMLP(D, width=64, depth=3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    f, x, counts = Counted(net), torch.randn(ROWS, D), {"pushforward": evaluations("rk4", STEPS, True)}
    for tolerance in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6):
        f.calls = 0
        with torch.no_grad():
            of_zuko(f, tolerance)(x, True)
        if f.calls >= 4 * STEPS:
            break
    counts["zuko"], f.calls = f.calls, 0
    with torch.no_grad():
        of_torchdiffeq(f)(x, True)
    counts["torchdiffeq"] = f.calls
    ways = {"pushforward": ours(net), "torchdiffeq": of_torchdiffeq(f), "zuko": of_zuko(f, tolerance)}
    with torch.no_grad():
        values = {name: loss(way, x, True).item() for name, way in ways.items()}
    optimizer = torch.optim.Adam(net.parameters(), lr=0.0)

    def step(way: Pass) -> None:
        optimizer.zero_grad()
        loss(way, x, False).backward()
        optimizer.step()

    def density(way: Pass) -> None:
        with torch.no_grad():
            loss(way, x, True)

    times: dict[tuple[str, str], list[float]] = {}
    for number in range(given.rounds + 1):
        for task in (step, density):
            for name, way in ways.items():
                start = time.process_time()
                task(way)
                if number:  # the first warms up
                    times.setdefault((task.__name__, name), []).append(time.process_time() - start)
    versions = f"torch {torch.__version__}, torchdiffeq {torchdiffeq.__version__}, zuko {zuko.__version__} at tolerance {tolerance:g}"
    lines = [
        f"`OMP_NUM_THREADS=1 python benchmarks/continuous_speed.py --rounds {given.rounds}`, seed 0, {platform.machine()}, one thread;",
        f"{versions}. Milliseconds of CPU time, medians; ratios to ours.",
        "",
        "| | evaluations on the way out | training step | ratio | density | ratio | mean of -log p less a constant |",
        "|---|---|---|---|---|---|---|",
    ]
    medians = {key: statistics.median(found) for key, found in times.items()}
    for name in ways:
        training, scoring = (medians[task, name] for task in ("step", "density"))
        ratios = training / medians["step", "pushforward"], scoring / medians["density", "pushforward"]
        cells = f"{1e3 * training:.1f} | {ratios[0]:.2f} | {1e3 * scoring:.1f} | {ratios[1]:.2f}"
        lines.append(f"| {name} | {counts[name]} | {cells} | {values[name]:.6f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text("# Speed of continuous flows\n\n" + text)


if __name__ == "__main__":
    main()
