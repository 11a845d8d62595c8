"""The figures of the README: default fits of real tables and of the toys, on one machine, as a table.

    python benchmarks/figures.py toys                        # the gap to the true entropy, in nats
    python benchmarks/figures.py kin40k.parquet ...          # test nats per row beside the baselines

Tables: the defaults of `pushforward fit --model nsf` for a minute; toys: `--preset plane` for a minute and a half.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import torch

import pushforward as pf
from pushforward.data import TOYS

TOY_SECONDS = 90.0
TABLE_SECONDS = 60.0


def toy(name: str) -> str:
    run = pf.fit(name, preset="plane", time_limit=TOY_SECONDS, progress=False, report=False)
    found = pf.results(run)
    score = found["scores"][0]
    gap = -found["entropy"] - score["nats"]
    best = -found["entropy"]
    return f"| {name} | {best:.3f} | {score['nats']:.3f} ± {score['stderr']:.3f} | {gap:.3f} | {score['train_seconds']:.0f} s |"


def table(path: str) -> str:
    run = pf.fit(path, "nsf", time_limit=TABLE_SECONDS, progress=False, report=False)
    scores = pf.results(run)["scores"]
    cells = " | ".join(f"{s['standardized']:.3f}" for s in scores)
    return f"| {Path(path).stem} | {cells} | ± {scores[0]['stderr']:.3f} | {scores[0]['train_seconds']:.0f} s |"


def main(names: list[str]) -> None:
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, seed 0\n")
    if names == ["toys"]:
        print("| toy | best possible | nsf, test nats per row | gap | training |\n|---|---|---|---|---|")
        for name in TOYS:
            print(toy(name), flush=True)
    else:
        print("| table (standardized nats per row) | nsf | mixture | Gaussian | independent columns | error | training |")
        print("|---|---|---|---|---|---|---|")
        for path in names:
            print(table(path), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
