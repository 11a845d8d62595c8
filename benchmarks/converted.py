"""Flows of zuko and nflows beside what `pushforward.convert` makes of them: how far their densities differ, and how long both take.

    .venv-peers/bin/python -W ignore benchmarks/converted.py     # two minutes; both packages have to be installed

Weights are perturbed, so that none is at its start. Differences are relative to the log-likelihood, and to 1 where that is smaller: in
float64 the largest of 1,000 rows; in float32 what each side is off its own float64 at most in 95 % of them. Times are the best of five,
one thread, 1,000 rows.
"""

from __future__ import annotations

import argparse
import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import torch
import zuko
from nflows import distributions, flows, transforms
from nflows.nn.nets import ResidualNet
from torch import Tensor, nn
from zuko.transforms import MonotonicRQSTransform

from pushforward import convert

ROWS = 1000
CURVE = {"num_bins": 8, "tails": "linear", "tail_bound": 5.0}


def masked_splines(dim: int, context: int | None = None) -> nn.Module:
    made = {"hidden_features": 64, "context_features": context, "num_blocks": 2, **CURVE}
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [transforms.RandomPermutation(dim), transforms.LULinear(dim, identity_init=False)]
        layers.append(transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(dim, **made))
    return flows.Flow(transforms.CompositeTransform(layers), distributions.StandardNormal([dim]))


def coupled_splines(dim: int, context: int | None = None) -> nn.Module:
    net = functools.partial(ResidualNet, hidden_features=64, context_features=context, num_blocks=2)
    masks = [[(feature + i) % 2 for feature in range(dim)] for i in range(4)]
    layers = [transforms.PiecewiseRationalQuadraticCouplingTransform(mask, net, **CURVE) for mask in masks]
    return flows.Flow(transforms.CompositeTransform(layers), distributions.StandardNormal([dim]))


def nice_splines(dim: int) -> nn.Module:
    return zuko.flows.NICE(dim, univariate=MonotonicRQSTransform, shapes=[(8,), (8,), (7,)])


CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # the flow, features, numbers of a context
    "zuko MAF": (lambda: zuko.flows.MAF(8), 8, 0),
    "zuko MAF of 32": (lambda: zuko.flows.MAF(32), 32, 0),
    "zuko NSF": (lambda: zuko.flows.NSF(8), 8, 0),
    "zuko NSF, context": (lambda: zuko.flows.NSF(8, 3), 8, 3),
    "zuko NSF of 32": (lambda: zuko.flows.NSF(32), 32, 0),
    "zuko NSF, passes=2": (lambda: zuko.flows.NSF(8, passes=2), 8, 0),
    "zuko RealNVP": (lambda: zuko.flows.RealNVP(8), 8, 0),
    "zuko NICE of splines": (lambda: nice_splines(8), 8, 0),
    "nflows MaskedAutoregressiveFlow": (lambda: flows.MaskedAutoregressiveFlow(8, 64, 3, 2, batch_norm_between_layers=True), 8, 0),
    "nflows SimpleRealNVP": (lambda: flows.SimpleRealNVP(8, 64, 4, 2), 8, 0),
    "nflows masked splines": (lambda: masked_splines(8), 8, 0),
    "nflows masked splines, context": (lambda: masked_splines(8, 3), 8, 3),
    "nflows masked splines of 32": (lambda: masked_splines(32), 32, 0),
    "nflows coupled splines, context": (lambda: coupled_splines(8, 3), 8, 3),
}


@torch.no_grad()
def perturbed(model: Any) -> Any:
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    for name, statistic in model.named_buffers():
        if "running" in name:
            statistic.copy_(torch.rand_like(statistic) + 0.5)
    return model.eval()


def theirs(model: Any, x: Tensor, c: Tensor | None) -> Tensor:
    return model.log_prob(x, c) if isinstance(model, flows.Flow) else model(c).log_prob(x)


def draws(model: Any, c: Tensor | None) -> Tensor:
    """One for each context, or as many without one."""
    if isinstance(model, flows.Flow):
        return model.sample(ROWS if c is None else 1, c)
    return model(c).sample((ROWS,) if c is None else ())


def milliseconds(call: Callable[[], Any]) -> float:
    call()
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken)


@torch.no_grad()
def line(name: str) -> str:
    make, dim, context = CASES[name]
    torch.manual_seed(0)
    model = perturbed(make())
    x, c = torch.randn(ROWS, dim), torch.randn(ROWS, context) if context else None
    exact, wide, wide_c = copy.deepcopy(model).double(), x.double(), None if c is None else c.double()
    truth = theirs(exact, wide, wide_c)
    size = truth.abs().clamp_min(1)
    in_double = ((convert(exact).log_prob(wide, wide_c) - truth).abs() / size).max()
    flow = convert(model)
    off = [((value - truth).abs() / size).quantile(0.95) for value in (flow.log_prob(x, c), theirs(model, x, c))]
    pairs = [
        (lambda: theirs(model, x, c), lambda: flow.log_prob(x, c)),
        (lambda: draws(model, c), lambda: flow.sample((ROWS,) if c is None else (), c)),
    ]
    times = [f"{milliseconds(one):.1f} → {milliseconds(other):.1f}" for one, other in pairs]
    return f"| {name} | {truth.mean():.1f} | {in_double:.0e} | {off[0]:.0e} | {off[1]:.0e} | {' | '.join(times)} |"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print("| flow | nats, mean | float64: difference | float32: ours off | theirs off | log-likelihood, ms | draws, ms |")
    print("|---|---|---|---|---|---|---|")
    for name in CASES:
        print(line(name), flush=True)


if __name__ == "__main__":
    main()
