"""Which model for which table: what `pushforward fit` without `--model` rests on.

    python benchmarks/recommendation.py                          # the embedded tables
    python benchmarks/recommendation.py kin40k.parquet ...       # and training sets of 100 rows and more, drawn from larger files

Candidates train by their own presets until early stopping, `--seconds` at most; figures are test nats per row of standardized
columns. Files follow the usual protocol (shuffled by seed 0, 80/10/10); smaller training sets are their first rows, with a tenth
as many for validation, and the whole test split.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import torch

import pushforward as pf
from pushforward.data import load

CANDIDATES = {
    "gaussian": {"model": "gaussian"},
    "gaussian_mixture": {"model": "gaussian_mixture", "options": ["model.components=10"]},
    "nsf, preset tiny_table": {"preset": "tiny_table"},
    "nsf, preset small_table": {"preset": "small_table"},
    "nsf, preset table": {"preset": "table"},
    "nsf coupling, preset fast_sampling": {"preset": "fast_sampling"},
}
BASELINES = ("Gaussian", "Gaussian mixture", "independent columns")
EMBEDDED = ("wine", "breast_cancer", "digits")
SIZES = (100, 300, 1_000, 3_000, 10_000, 32_000)


def figures(data, seconds: float, **splits) -> str:
    cells = []
    for settings in CANDIDATES.values():
        run = pf.fit(data, **settings, **splits, time_limit=seconds, progress=False, report=False)
        mine, *others = pf.results(run)["scores"]
        cells.append(_figure(mine))
    baselines = {score["name"].split(",")[0]: _figure(score) for score in others}
    return " | ".join([*cells, *(baselines.get(name, "") for name in BASELINES), f"{mine['stderr']:.2f}"])


def _figure(score: dict) -> str:
    """Standardized nats, or plain ones where all columns are discrete."""
    return f"{score['nats'] if score['standardized'] is None else score['standardized']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, seed 0\n")
    print("| table | rows x columns | " + " | ".join(CANDIDATES) + " | ".join(["", *BASELINES, "error |"]))
    print("|---" * (len(CANDIDATES) + 6) + "|")
    for name in EMBEDDED if not options.files else ():
        data = load(name)
        print(f"| {name} | {len(data.train)} x {data.train.x.shape[1]} | {figures(name, options.seconds)} |", flush=True)
    for path in options.files:
        data = load(path)
        x, valid, test = (rows.x.numpy() for rows in (data.train, data.valid, data.test))
        for size in options.sizes:
            if size <= len(x):
                splits = {"valid": valid[: max(30, size // 10)], "test": test}
                print(f"| {Path(path).stem} | {size} x {x.shape[1]} | {figures(x[:size], options.seconds, **splits)} |", flush=True)


if __name__ == "__main__":
    main()
