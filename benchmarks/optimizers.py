"""Ways to step, at the same time: test nats per row of tables and gaps to the entropy of toys, medians of seeds.

    python benchmarks/optimizers.py kin40k.parquet protein.parquet moons --ways adamw "adamw:lr=0.01" muon --seconds 45 --seeds 0 1 2

A way is "adamw", "muon" or "soap", with options of training behind a colon: lr, batch, ema, warmup, beta2 (of AdamW). One line of CSV for
each fit goes to --out.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from models import append, table

from pushforward.data import load
from pushforward.verbs.comparing import fitted, named


def one(source: str, model: str, text: str, seed: int, seconds: float) -> dict[str, Any]:
    """A fit, judged on the test rows."""
    name, _, rest = text.partition(":")
    given = {key: float(value) for key, value in (part.split("=") for part in rest.split(",") if part)}
    make = functools.partial(torch.optim.AdamW, betas=(0.9, given.pop("beta2", 0.999)))
    data, plan = load(source), named(model)
    plan |= {f"train.{key}": int(value) if key in ("batch", "warmup") else value for key, value in given.items()}
    plan["train.optimizer"] = name
    with mock.patch("torch.optim.AdamW", make):
        _, score, history = fitted(data, plan, time_limit=seconds, seed=seed, progress=False)
    return {
        "data": Path(source).stem if Path(source).exists() else source,
        "model": f"{model}, {text}",
        "seed": seed,
        "figure": f"{score.standardized if data.entropy is None else -data.entropy - score.nats:.4f}",
        "steps": history.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--model", default="nsf")
    parser.add_argument("--ways", nargs="*", default=["adamw", "muon"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--out", type=Path, default=Path("runs/optimizers.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for source in options.data:
            for text in options.ways:
                row = one(source, options.model, text, seed, options.seconds)
                print(row, flush=True)
                append(options.out, row)
    print(table(options.out))


if __name__ == "__main__":
    main()
