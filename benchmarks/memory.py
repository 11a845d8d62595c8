"""Peak memory and step time of a Glow whose activations are kept, found again by inversion, or checkpointed.

python benchmarks/memory.py                      # 3 scales x 8 steps, width 128, CIFAR's shape, batch 64, and a sweep over depth
python benchmarks/memory.py --depths 8 --repeats 9

Each line is a process of its own: its peak is the largest resident memory that the system saw, less what it was before the first step.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch

from pushforward.models import glow
from pushforward.objectives import MaximumLikelihood
from pushforward.training.budget import budget, kept

MEMORIES = ("full", "constant", "checkpoint")


def measure(memory: str, depth: int, width: int, batch: int, repeats: int) -> dict[str, float]:
    """One configuration, in this process."""
    torch.manual_seed(0)
    flow = glow((3, 32, 32), scales=3, steps=depth, width=width, memory=memory)  # type: ignore[arg-type]
    x = torch.randint(256, (batch, 3, 32, 32)).float()
    with torch.no_grad():
        flow.initialize(x[:8])
    objective = MaximumLikelihood(flow).train()
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-4, fused=True)
    optimizer.zero_grad()
    budget(flow, x[:1])  # gradients and code are there before the peak is taken
    optimizer.step()
    before, times = resident(), []
    for _ in range(repeats):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=False)
        objective(x).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    peak = resident() - before
    held, counted = kept(lambda: objective(x), flow.parameters()), budget(flow, x)
    most = counted.activations * batch + counted.fixed
    return {"peak": peak, "kept": held, "most": most, "seconds": statistics.median(times), "fastest": min(times)}


def resident() -> int:
    """The largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def apart(*arguments: object) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 4, 16])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--one", nargs=5, metavar="VALUE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        memory, *numbers = given.one
        print(json.dumps(measure(memory, *map(int, numbers))))
        return
    print(f"Glow, 3 scales, width {given.width}, (3, 32, 32), batch {given.batch}; {platform.machine()}, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(
        "| steps per scale | memory | resident peak, MB | kept after forward, MB | tensors at the peak, MB | step, s (fastest) | to full |"
    )
    print("|---|---|---|---|---|---|---|")
    for depth in given.depths:
        full = None
        for memory in MEMORIES:
            found = apart(memory, depth, given.width, given.batch, given.repeats)
            full = full or found
            numbers = " | ".join(f"{found[key] / 1e6:.0f}" for key in ("peak", "kept", "most"))
            ratio = f"{found['peak'] / full['peak']:.2f} memory, {found['seconds'] / full['seconds']:.2f} time"
            print(f"| {depth} | {memory} | {numbers} | {found['seconds']:.3f} ({found['fastest']:.3f}) | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
