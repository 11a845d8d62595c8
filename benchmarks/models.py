"""Every vector model at the same wall-clock: the gap to the entropy of toys, test nats per row of tables, medians of seeds.

    python benchmarks/models.py moons rings --seconds 90 --models nsf naf --seeds 0
    python benchmarks/models.py kin40k.parquet protein.parquet --seconds 60 --seeds 0 1 2

A model is a recipe's name with its defaults, or a preset's; seeds change weights and the order of rows, never the split. One line of
CSV for each fit goes to --out as it ends (append: several processes may share it);
without data the table of that file is printed.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections import defaultdict
from pathlib import Path

import torch

from pushforward.data import load
from pushforward.verbs.comparing import fitted, named

VECTOR = ("maf", "iaf", "nsf", "nsf:mechanism=coupling", "naf", "bnaf", "umnn", "sos", "mixture_cdf", "planar", "sylvester", "real_nvp")


def one(source: str, model: str, seed: int, seconds: float) -> dict:
    """Fit once and judge on the test split. Data with a known entropy: the gap to it; others: standardized nats per row."""
    data = load(source)
    flow, score, history = fitted(data, named(model), time_limit=seconds, seed=seed, progress=False)
    return {
        "data": Path(source).stem if Path(source).exists() else source,
        "model": model,
        "seed": seed,
        "figure": f"{score.standardized if data.entropy is None else -data.entropy - score.nats:.4f}",
        "stderr": f"{score.stderr:.4f}",
        "steps": history.steps,
        "train_seconds": f"{history.seconds:.1f}",
        "parameters": sum(p.numel() for p in flow.parameters()),
        "threads": torch.get_num_threads(),
        "how": score.how,
    }


def append(path: Path, row: dict) -> None:
    """A line of CSV more, the names of its columns above the first."""
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def table(path: Path) -> str:
    """Medians over seeds, models down and data across."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            found[row["model"]][row["data"]].append(float(row["figure"]))
    columns = list(dict.fromkeys(name for cells in found.values() for name in cells))
    lines = ["| model | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for model, cells in found.items():
        row = [f"{statistics.median(cells[c]):.3f} ({min(cells[c]):.3f} to {max(cells[c]):.3f})" if c in cells else "" for c in columns]
        lines.append(f"| {model} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--models", nargs="*", default=VECTOR)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("runs/models.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for source in options.data:
            for model in options.models:
                row = one(source, model, seed, options.seconds)
                print(row, flush=True)
                append(options.out, row)
    print(table(options.out))


if __name__ == "__main__":
    main()
