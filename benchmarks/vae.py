"""Posteriors and priors of a VAE on static binary MNIST: the same nets, the same time.

    python benchmarks/vae.py STATIC_MNIST_FOLDER --minutes 20 --out runs/vae

The folder holds train.parquet, valid.parquet and test.parquet. Encoder and decoder are gated nets 784-300-300, z has 40 numbers (Tomczak,
Welling, 2017). For each model: the bound of one draw on all test rows; the bound of K = 5,000 draws on 1,000 of them, the same for all; the
parts of the first, on 2,048 of them where the posterior is no normal; active units, steps, seconds for 1,000 samples. One thread; trainings
one after the other.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import pushforward as pf
from pushforward.evaluation import evaluate, surgery
from pushforward.verbs.runs import data_of

POSTERIORS = ("planar", "radial", "full", "sylvester", "householder", "triangular", "coupling", "iaf")
PRIORS = ("mixture", "vamp", "real_nvp", "maf", "nsf")
DRAWS, ROWS, SAMPLES = 5000, 1000, 1000
PUBLISHED = (
    "Published, static binary MNIST, -log p by importance sampling: no flow 86.55, planar 86.06, IAF 84.20, Sylvester 83.32 with "
    "convolutional nets (arXiv:1803.05649); standard 88.56, VampPrior 85.57 with these nets (arXiv:1705.07120); ResNet-VAE standard 82.95, "
    "RealNVP posterior 80.97, RealNVP prior 79.99 (arXiv:1905.13452)."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--posteriors", nargs="*", default=list(POSTERIORS), help="behind the standard prior")
    parser.add_argument("--priors", nargs="*", default=list(PRIORS), help="of the Gaussian posterior")
    parser.add_argument("--both", nargs="*", default=[], help="pairs, as real_nvp+iaf")
    parser.add_argument("--out", type=Path, default=Path("runs/vae"))
    chosen = parser.parse_args()
    pairs = [("standard", "gaussian"), *(("standard", name) for name in chosen.posteriors), *((name, "gaussian") for name in chosen.priors)]
    pairs += [tuple(pair.split("+")) for pair in chosen.both]
    print(PUBLISHED, end="\n\n")
    print(
        "| prior | posterior | seed | bound | K = 5,000 | reconstruction | information | marginal KL | gap | active | steps | samples, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for seed in chosen.seeds:
        for prior, posterior in pairs:
            row(chosen.folder, prior, posterior, seed, chosen.minutes, chosen.out / f"{prior}-{posterior}-{seed}")


def row(folder: Path, prior: str, posterior: str, seed: int, minutes: float, out: Path) -> None:
    """Train one model and print its line."""
    run = pf.fit(
        folder / "train.parquet",
        preset="vae_mnist_binary_small",
        options={"model.prior": prior, "model.posterior": posterior},
        valid=folder / "valid.parquet",
        test=folder / "test.parquet",
        bits=1,
        time_limit=60 * minutes,
        seed=seed,
        out=out,
        resume=True,
        report=False,
    )
    test = data_of(run).test
    found = surgery(run.flow, test, draws=DRAWS)
    some = test.pick(torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:ROWS].numpy())
    tight = evaluate(run.flow, some, samples=DRAWS, batch=2**15)
    began = time.perf_counter()
    run.flow.sample(SAMPLES)
    seconds = time.perf_counter() - began
    steps = max(record["step"] for record in run.metrics())
    score = pf.results(run)["scores"][0]
    cells = [prior, posterior, f"{seed}", f"{-score['nats']:.2f} ± {score['stderr']:.2f}", f"{-tight.nats:.2f} ± {tight.stderr:.2f}"]
    cells += [f"{-found.reconstruction:.2f}", f"{found.mutual_information:.2f}", f"{found.marginal_kl:.2f}"]
    cells += [f"{found.gap:.2f} ± {found.gap_stderr:.2f}", f"{found.active}/{found.units}", f"{steps:,}", f"{seconds:.2f}"]
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
