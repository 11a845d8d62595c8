"""Ways to step, at the same time: test nats per row of tables and gaps to the entropy of toys, medians of seeds.

    python benchmarks/optimizers.py kin40k.parquet protein.parquet moons --ways adamw "adamw:lr=0.01" muon --seconds 45 --seeds 0 1 2

A way is "adamw", "muon" (matrices by Muon at the rate of AdamW, all else by AdamW) or "soap" (of the package pytorch-optimizer, where that
is installed), with options of training behind a colon: lr, batch, ema, warmup, beta2. One line of CSV for each fit goes to --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from models import append, table
from torch import Tensor

from pushforward.data import load
from pushforward.verbs.comparing import fitted, named

Make = Callable[..., torch.optim.Optimizer]
ADAMW = torch.optim.AdamW


class Together(torch.optim.Optimizer):
    """Several optimizers as one, without a state of its own that a checkpoint would have to hold."""

    def __init__(self, *parts: torch.optim.Optimizer):
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.parts, self.param_groups = parts, [group for part in parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:
        for part in self.parts:
            part.step()


def muon(parameters: Iterable[Tensor], *, lr: float, weight_decay: float, fused: bool) -> torch.optim.Optimizer:
    """Matrices by Muon, whose steps are scaled to be as long as those of AdamW; and the rest by AdamW."""
    every = list(parameters)
    matrices, rest = [p for p in every if p.dim() == 2 and min(p.shape) > 1], [p for p in every if p.dim() != 2 or min(p.shape) == 1]
    by_muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Together(by_muon, ADAMW(rest, lr=lr, weight_decay=weight_decay, fused=fused)) if rest else by_muon


def soap(parameters: Iterable[Tensor], *, lr: float, weight_decay: float, fused: bool) -> torch.optim.Optimizer:
    from pytorch_optimizer import SOAP

    return Together(SOAP(list(parameters), lr=lr, weight_decay=weight_decay))


def way(text: str) -> tuple[Make, dict[str, float]]:
    """How to make the optimizer, and options of training."""
    name, _, rest = text.partition(":")
    given = {key: float(value) for key, value in (part.split("=") for part in rest.split(",") if part)}
    second = given.pop("beta2", 0.999)
    makers: dict[str, Make] = {"adamw": lambda p, **others: ADAMW(p, betas=(0.9, second), **others), "muon": muon, "soap": soap}
    return makers[name], given


def one(source: str, model: str, text: str, seed: int, seconds: float) -> dict[str, Any]:
    """A fit, judged on the test rows."""
    make, options = way(text)
    data, plan = load(source), named(model)
    plan |= {f"train.{key}": int(value) if key in ("batch", "warmup") else value for key, value in options.items()}
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
