"""A training step of Glow on images of CIFAR's shape, 3 scales x 8 steps of width 128, batch 64: seconds, median of several.

    python benchmarks/glow_step.py --threads 2 --reference SITE

``--reference`` is a folder with normflows (github.com/VincentStimper/normalizing-flows): its Glow of the same sizes is then timed in
the same run, step by step in turn, with the optimizer that its own example has.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.models import glow

SCALES, STEPS, WIDTH, BATCH = 3, 8, 128, 64


def reference(site: str) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """normflows' Glow and its loss."""
    sys.path.insert(0, site)
    import normflows as nf

    bases, merges, flows = [], [], []
    for i in range(SCALES):
        blocks = [nf.flows.GlowBlock(3 * 2 ** (SCALES + 1 - i), WIDTH, split_mode="channel", scale=True) for _ in range(STEPS)]
        flows.append([*blocks, nf.flows.Squeeze()])
        coarse, side = 2 ** (SCALES + 1 if i == 0 else SCALES - i), 32 // 2 ** (SCALES if i == 0 else SCALES - i)
        merges += [nf.flows.Merge()] if i else []
        bases.append(nf.distributions.DiagGaussian((3 * coarse, side, side)))
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    return model, lambda x: -model.log_prob((x + torch.rand_like(x)) / 256 - 0.5, None).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--reference")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = torch.randint(256, (BATCH, 3, 32, 32)).float()
    ours = glow((3, 32, 32), scales=SCALES, steps=STEPS, width=WIDTH)
    ours.initialize(x)
    cases: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {"pushforward": (ours, lambda x: -ours(x).mean())}
    if options.reference:
        cases["normflows"] = reference(options.reference)
    optimizers = {
        name: torch.optim.AdamW(m.parameters(), 1e-3, fused=True) if m is ours else torch.optim.Adamax(m.parameters(), 1e-3)
        for name, (m, _) in cases.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(options.repeats + 2):
        for name, (_, loss) in cases.items():
            start = time.perf_counter()
            optimizers[name].zero_grad()
            loss(x).backward()
            optimizers[name].step()
            if repeat > 1:
                seconds[name].append(time.perf_counter() - start)
    for name, (model, _) in cases.items():
        times, parameters = seconds[name], sum(p.numel() for p in model.parameters())
        print(f"{name}: {statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f}), {parameters:,} parameters")
    if options.reference:
        print(f"ratio {statistics.median(a / b for a, b in zip(seconds['pushforward'], seconds['normflows'])):.3f}")


if __name__ == "__main__":
    main()
