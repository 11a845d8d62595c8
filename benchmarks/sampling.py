"""How long 1,024 samples of a masked autoregressive flow take: 5 layers of 2 hidden layers.

python benchmarks/sampling.py
"""

from __future__ import annotations

import platform
import statistics
import time

import torch

from pushforward import MADE, Affine, Autoregressive, Flow, Normal

REPEATS = 31


def model(dim: int, width: int) -> Flow:
    """Affine layers in alternating order, perturbed so that no weight is zero."""
    torch.manual_seed(0)
    orders = [range(dim), range(dim - 1, -1, -1)]
    flow = Flow(Normal((dim,)), *(Autoregressive(Affine(), MADE(dim, 2, width=width, depth=2, order=orders[i % 2])) for i in range(5)))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow


def milliseconds(flow: Flow, rows: int) -> list[float]:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        flow.sample((rows,))
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


def main() -> None:
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| D | width | median ms | fastest ms | one density pass, ms |\n|---|---|---|---|---|")
    for dim, width in ((16, 128), (64, 256)):
        flow = model(dim, width)
        times, x = milliseconds(flow, 1024), torch.randn(1024, dim)
        with torch.no_grad():
            flow(x)
            start = time.perf_counter()
            flow(x)
            density = (time.perf_counter() - start) * 1e3
        print(f"| {dim} | {width} | {statistics.median(times):.1f} | {min(times):.1f} | {density:.1f} |")


if __name__ == "__main__":
    main()
