"""Seconds of training until the best validation figure that a peer reaches in its time: NSF on kin40k, Glow on MNIST.

    PYTHONPATH=benchmarks python -m speed.end_to_end --only kin40k --data FOLDER     # FOLDER/kin40k.parquet, about 2 minutes
    PYTHONPATH=benchmarks python -m speed.end_to_end --only mnist --data FOLDER      # FOLDER/train.parquet, about 10 minutes

Rows are split 80 : 10 : 10 as always, columns standardized by the train split; MNIST has 6,000 images for validation, of which 2,048 are
looked at. The peer has its learning rate, the cosine, Adam and its best weights; its first gradient, with compilation, is told apart. We
have ``fit``, with SOAP for the table, with the smallest of a few time limits that gets there, start-up and compilation
included. Neither knows the test rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from pushforward.data import load, load_images
from pushforward.models import glow, nsf

from . import peer_normflows, peer_zuko
from .cases import Case
from .race import Schedule, best, judge, ours, reached, train
from .report import machine, versions, write

HERE = Path(__file__).parent.parent
STEPS = (0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0)  # of the peer's time, the limits that we try


def kin40k(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """zuko's NSF, eager and compiled, and ours: 5 layers, 8 bins, width 128, batch 512."""
    data = load(str(folder / "kin40k.parquet"))
    mean, std = data.train.x.mean(0), data.train.x.std(0)
    rows, valid = (((part.x - mean) / std).float() for part in (data.train, data.valid))
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = peer_zuko.build(Case("nsf", rows.shape[1]))
        assert model
        points, first = train(model, rows, valid, Schedule(seconds, rate=5e-3, batch=512, every=60), compiled=compiled)
        found.append({"library": "zuko", "mode": "compiled" if compiled else "eager", "points": [vars(p) for p in points]})
        target = best(points)
        course = ours(lambda: nsf(rows.shape[1:]), rows, valid, target.nats, limits(seconds), batch=512, optimizer="soap")
        found[-1] |= told(first, -target.nats, target.seconds, reached(course, target.nats), -best(course).nats)
    return found


def mnist(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """normflows' Glow and ours, 2 scales of 8 steps of width 64, batch 64; figures in bits per dimension."""
    data = load_images(str(folder / "train.parquet"))
    rows, valid = data.train.x, data.valid.x[:2048]
    torch.manual_seed(0)
    model = peer_normflows.glow(1, 28, scales=2, steps=8, width=64)
    judge(model.log_prob, rows[:64])  # its ActNorm starts from a batch
    pixels = rows[0].numel()
    bits = pixels * math.log(2)  # nats of one bit per dimension; its density is of pixels / 256
    points, first = train(model, rows, valid, Schedule(seconds, rate=1e-3, batch=64, every=200, clip=50.0))
    target = best(points)
    course = ours(
        lambda: glow((1, 28, 28), scales=2, steps=8, width=64, alpha=0.0),
        rows,
        valid,
        target.nats + pixels * math.log(256),
        limits(seconds),
        batch=64,
        lr=4e-3,
        ema=0.995,
    )
    wanted = target.nats + pixels * math.log(256)
    result = {"library": "normflows", "mode": "eager", "points": [vars(p) for p in points]}
    return [result | told(first, target.nats / bits + 8, target.seconds, reached(course, wanted), best(course).nats / bits)]


def limits(seconds: float) -> list[float]:
    return [seconds * share for share in STEPS]


def told(first: float, figure: float, theirs: float, ours: float | None, our_best: float) -> dict[str, Any]:
    return {"first": first, "figure": figure, "seconds": theirs, "ours": ours, "our_best": our_best}


def main() -> None:
    parser = argparse.ArgumentParser(prog="speed.end_to_end", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("kin40k", "mnist"), required=True)
    parser.add_argument("--data", type=Path, required=True, help="the folder of its file")
    parser.add_argument("--seconds", type=float, help="of the peer's training; default 28 for kin40k, 300 for MNIST")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", type=Path, default=HERE / "results/end_to_end.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    races: dict[str, tuple[Callable[[Path, float], list[dict[str, Any]]], float]] = {"kin40k": (kin40k, 28.0), "mnist": (mnist, 300.0)}
    race, usual = races[options.only]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # every compilation is a first one
        found = race(options.data, options.seconds or usual)
    kept = json.loads(options.record.read_text()) if options.record.exists() else {}
    kept[options.only] = {
        "date": date.today().isoformat(),
        "machine": machine(options.threads),
        "versions": versions(None),
        "races": [{key: value for key, value in one.items() if key != "points"} for one in found],
    }
    options.record.write_text(json.dumps(kept, indent=1) + "\n")
    write(HERE / "results/speed.json", HERE / "RESULTS.md")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
