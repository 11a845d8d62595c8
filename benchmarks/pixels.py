"""Every model of images that there is a small preset for, on the same images for the same time: the lectures' table at small scale.

    python benchmarks/pixels.py STATIC_MNIST_FOLDER --bits 1 --minutes 30 --out runs/pixels

The folder holds train.parquet and test.parquet, and valid.parquet if there is one. For each model: test nats and bits per dimension with
what they are (exact or a bound), steps, parameters, seconds for 16 samples with what a visit remembers, and by full passes of the net (from
5 of them). Published figures of static binary MNIST stand beside. One thread for each training; trainings one after the other.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

import pushforward as pf
from pushforward.distributions import Causal
from pushforward.models import IMAGE_MODELS
from pushforward.presets import read_preset, shipped

PUBLISHED = {  # nats on static binary MNIST, after days on GPUs where not MADE
    "made_image": "86.64 (arXiv:1502.03509)",
    "pixel_cnn": "81.30 (arXiv:1601.06759)",
    "pixel_rnn": "79.20 (arXiv:1601.06759, diagonal BiLSTM)",
}
PASSES, SAMPLES = 5, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kind", default="", help="of the presets, as mnist_binary or mnist; by default by the bits")
    parser.add_argument("--models", nargs="*", default=list(IMAGE_MODELS))
    parser.add_argument("--out", type=Path, default=Path("runs/pixels"))
    chosen = parser.parse_args()
    kind = chosen.kind or ("mnist_binary" if chosen.bits == 1 else "mnist")
    valid = chosen.folder / "valid.parquet"
    print("| model | nats | bits/dim | which is | steps | parameters | 16 samples, s | by full passes, s | published |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in chosen.models:
        preset = preset_of(name, kind) or preset_of(name, "mnist")
        if preset is None:
            continue
        run = pf.fit(
            chosen.folder / "train.parquet",
            preset=preset,
            valid=valid if valid.exists() else None,
            test=chosen.folder / "test.parquet",
            bits=chosen.bits,
            time_limit=60 * chosen.minutes,
            out=chosen.out / name,
            overwrite=True,
        )
        score = pf.results(run)["scores"][0]
        steps = max(record["step"] for record in run.metrics())
        parameters = sum(parameter.numel() for parameter in run.flow.parameters())
        cached, naive = speeds(run.flow)
        row = [name, f"{-score['nats']:.2f} ± {score['stderr']:.2f}", f"{score['bits_per_dim']:.4f}", score["kind"], f"{steps:,}"]
        row += [f"{parameters:,}", f"{cached:.2f}", "" if math.isnan(naive) else f"{naive:.1f}", PUBLISHED.get(name, "")]
        print("|", " | ".join(row), "|", flush=True)


def preset_of(model: str, kind: str) -> str | None:
    """The small preset of a model for data of that kind."""
    names = [path.stem for path in shipped() if path.stem.endswith(f"_{kind}_small")]
    return next((name for name in names if read_preset(name)["model.name"] == model), None)


@torch.no_grad()
def speeds(flow: pf.Flow) -> tuple[float, float]:
    """Seconds for samples, and what they would take by a full pass for each number; NaN for a model that draws otherwise."""
    flow.eval()
    start = time.perf_counter()
    x = flow.sample((SAMPLES,))
    cached = time.perf_counter() - start
    if not isinstance(flow.base, Causal):
        return cached, math.nan
    start = time.perf_counter()
    for _ in range(PASSES):
        flow.log_prob(x)
    return cached, (time.perf_counter() - start) / PASSES * (int(flow.base.order.max()) + 1)


if __name__ == "__main__":
    main()
