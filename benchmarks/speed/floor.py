"""The least that a work can take on this machine: the products that no mask removes at its measured rate, and the bytes that must move."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .cases import AUTOREGRESSIVE, SCALES, SIDE, Case


@dataclass(frozen=True)
class Machine:
    """What this machine was seen to do, float32: operations per second of large products, bytes per second of large copies."""

    rate: float
    bandwidth: float


@dataclass(frozen=True)
class Floor:
    """Seconds; ``dense`` if masked products are done in full."""

    products: float
    dense: float
    bytes: float

    @property
    def seconds(self) -> float:
        return self.products + self.bytes


@dataclass(frozen=True)
class Layer:
    """A dense layer or convolution, ``share`` of whose weights no mask removes, at each of ``sites`` places."""

    inputs: int
    outputs: int
    share: float = 1.0
    sites: int = 1


def measure(size: int = 2048, megabytes: int = 256) -> Machine:
    """The best of several: a square product, and a copy too large for the caches of one core."""
    a, b, out = (torch.randn(size, size) for _ in range(3))
    source, target = (torch.ones(megabytes * 250_000) for _ in range(2))
    product, copy = best(lambda: torch.mm(a, b, out=out)), best(lambda: target.copy_(source))
    return Machine(2.0 * size**3 / product, 2.0 * 4 * source.numel() / copy)


def best(call: Callable[[], object], times: int = 12) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def floor(case: Case, work: str, machine: Machine) -> Floor:
    """A step has three products for each one of a density.

    Bytes: each unit's output is written once and read once; in a step its gradient too, and each weight, gradient and moment of Adam as
    often as is needed (10 times in all).
    """
    layers, rows, times = net(case), case.rows(work), 3 if work == "step" else 1
    weights = sum(x.inputs * x.outputs * x.share for x in layers)
    outputs = sum(x.outputs * x.sites for x in layers) * rows
    moved = 4 * (4 * outputs + 10 * weights) if work == "step" else 4 * (2 * outputs + weights)
    products, dense = (flops(case, masked) * rows * times / machine.rate for masked in (True, False))
    return Floor(products, dense, moved / machine.bandwidth)


def flops(case: Case, masked: bool) -> float:
    """Operations of the products of one log-likelihood, per row; ``masked`` leaves out what masks remove."""
    return sum(2.0 * x.inputs * x.outputs * x.sites * (x.share if masked else 1.0) for x in net(case))


def net(case: Case) -> list[Layer]:
    """All layers of all nets of a case."""
    if case.kind == "glow":
        return glow(case)
    width = case.width
    if case.kind in AUTOREGRESSIVE:
        degrees = [1 + unit * (case.dim - 1) // width for unit in range(width)]
        seen = sum(degrees) / (width * case.dim)
        hidden = sum(a <= b for a in degrees for b in degrees) / width**2
        last = sum(d <= p for d in degrees for p in range(case.dim)) / (width * case.dim)
        return [Layer(case.dim, width, seen), Layer(width, width, hidden), Layer(width, case.params * case.dim, last)] * case.layers
    if case.kind == "spline":
        return [Layer(case.context, width), Layer(width, width), Layer(width, case.params)] * case.layers
    layers = []
    for i in range(case.layers):
        kept = (case.dim + i % 2) // 2
        layers += [Layer(kept, width), Layer(width, width), Layer(width, case.params * (case.dim - kept))]
    return layers


def glow(case: Case) -> list[Layer]:
    layers, channels, side = [], case.dim, SIDE
    for _ in range(SCALES):
        channels, side = 4 * channels, side // 2
        sites, half = side * side, channels // 2
        step = [
            Layer(channels, channels, sites=sites),
            Layer(9 * half, case.width, sites=sites),
            Layer(case.width, case.width, sites=sites),
            Layer(9 * case.width, 2 * half, sites=sites),
        ]
        layers += step * case.layers
        channels = half
    return layers
