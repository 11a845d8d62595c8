"""Flow++ with one part at a time replaced, as in the paper's table of ablations, at equal training time.

    OMP_NUM_THREADS=1 python benchmarks/ablation.py mnist/train.parquet --test mnist/test.parquet --size 16 --seconds 180 --seeds 0 1 2

Seeds change weights, noise and the order of images, never the split. One line of CSV for each fit goes to --out as it ends (append:
several processes may share it); without data the table of that file is printed.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections import defaultdict
from pathlib import Path

import torch
from models import append

from pushforward.data import load_images
from pushforward.evaluation import evaluate
from pushforward.models import flow_pp
from pushforward.training import fit

SMALL = {"boards": (2, 2), "mixes": (1, 1), "leave": True, "width": 32, "depth": 1, "components": 4, "heads": 2}
SMALL |= {"noise_width": 16, "noise_depth": 1, "attention": True, "coupling": "mixture", "dequantization": "variational"}
TEST = 2_000  # images to judge by
VARIANTS = {
    "uniform dequantization": {"dequantization": "uniform"},
    "affine coupling": {"coupling": "affine"},
    "no attention": {"attention": False},
    "Flow++, small": {},
}


def one(data, variant: str, seed: int, seconds: float, alpha: float) -> dict:
    """Fit once; bits per dimension of test images, one draw of the noise and the bound of 8."""
    torch.manual_seed(seed)
    shape = data.schema.shape
    flow = flow_pp(shape, levels=data.schema.levels, alpha=alpha, **(SMALL | VARIANTS[variant]))
    options = {"batch": 64, "lr": 5e-3, "ema": 0.995, "patience": 0, "seed": seed, "time_limit": seconds, "progress": False}
    history = fit(flow, data.train, data.valid, **options)
    dim = math.prod(shape)
    test = data.test.pick(slice(0, TEST))
    bits = {k: -evaluate(flow, test, samples=k).nats / dim / math.log(2) for k in (1, 8)}
    return {
        "variant": variant,
        "seed": seed,
        "bits_per_dim": f"{bits[1]:.4f}",
        "of_8_samples": f"{bits[8]:.4f}",
        "steps": history.steps,
        "seconds": f"{history.seconds:.0f}",
        "parameters": sum(p.numel() for p in flow.parameters()),
        "threads": torch.get_num_threads(),
    }


def table(path: Path) -> str:
    """Medians over seeds with the range."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            rows[row["variant"]].append(row)
    lines = ["| variant | bits/dim | bound of 8 samples | steps | parameters |", "|---|---|---|---|---|"]
    for variant, found in rows.items():
        cells = []
        for column in ("bits_per_dim", "of_8_samples"):
            values = [float(row[column]) for row in found]
            cells.append(f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        steps = statistics.median(int(row["steps"]) for row in found)
        lines.append(f"| {variant} | {' | '.join(cells)} | {steps:,.0f} | {int(found[0]['parameters']):,} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--test")
    parser.add_argument("--size", type=int)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--alpha", type=float, default=0.0)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.data:
        data = load_images(options.data, test=options.test, size=options.size)
        for seed in options.seeds:
            for variant in options.variants:
                row = one(data, variant, seed, options.seconds, options.alpha)
                print(row, flush=True)
                append(options.out, row)
    print(table(options.out))


if __name__ == "__main__":
    main()
