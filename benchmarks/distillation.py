"""Distillation of masked autoregressive flows into inverse ones: what the student's samples are worth, and what they cost.

    python benchmarks/distillation.py                                # 64 columns, made here from seed 0
    python benchmarks/distillation.py digits kin40k.parquet ...      # names and files, as `pushforward fit` takes them

For each data set: `maf` (the teacher) is fitted for two and a half minutes, `iaf` distilled from it for four. The two-sample test has
5,000 samples on each side; how well it does at telling one Gaussian of the same mean and covariance from the teacher says whether the
teacher is worth telling from anything. One pass per dimension is the full net for each feature of each layer; that it gives the same
samples as partial passes is checked first.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import pushforward as pf
from pushforward.core import Flow
from pushforward.data import Rows
from pushforward.distributions import FromTorch
from pushforward.evaluation import c2st, settled
from pushforward.verbs import comparison, distill
from pushforward.verbs.row_lesson import one_pass_per_dimension

TEACHER_SECONDS = 150.0
STUDENT_SECONDS = 240.0
COLUMNS, LATENTS, WAVES = 64, 6, 128


def made(rows: int = 20_000, seed: int = 0) -> np.ndarray:
    """A random smooth map of 6 Gaussians into 64 columns, 128 sines of random direction and phase, with noise of 0.3."""
    random = np.random.default_rng(seed)
    latents = random.normal(size=(rows, LATENTS))
    inner = latents @ random.normal(size=(LATENTS, WAVES)) * 1.5 / LATENTS**0.5 + random.uniform(-np.pi, np.pi, WAVES)
    outer = random.normal(size=(WAVES, COLUMNS)) * (2 / WAVES) ** 0.5
    return np.sin(inner) @ outer + 0.3 * random.normal(size=(rows, COLUMNS))


def samples(flow: Flow, preprocessing: int, rows: int) -> torch.Tensor:
    """Samples behind the preprocessing, in standardized units."""
    inner = Flow(flow.base, *flow.transform.transforms[preprocessing:])
    with settled(inner, 0):
        return inner.sample((rows,))


def gaussian_accuracy(x: torch.Tensor) -> float:
    """The accuracy at telling rows from one Gaussian of their mean and covariance."""
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov() + 1e-6 * torch.eye(x.shape[1]))
    return c2st(FromTorch(gaussian), Rows(x)).accuracy


def main(names: list[str]) -> None:
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, seed 0")
    with TemporaryDirectory() as folder:
        for name in names or ["made"]:
            source = name
            if name == "made":
                source = str(Path(folder, "made.npy"))
                np.save(source, made())
            teacher = pf.fit(source, "maf", time_limit=TEACHER_SECONDS, report=False, progress=False)
            score, rival = pf.results(teacher)["scores"][:2]
            print(f"\n## {Path(name).stem}, {teacher.schema.shape[0]} columns")
            print(f"The teacher: {score['nats']:.3f} ± {score['stderr']:.3f} nats per row; {rival['name']} {rival['nats']:.3f}.")
            flow, preprocessing = teacher.flow, len(teacher.schema.layers())
            gap = samples(flow, preprocessing, 1024) - samples(one_pass_per_dimension(flow), preprocessing, 1024)
            print(f"Samples by partial and by full passes differ by {gap.abs().max():.1e} standardized units at most.")
            told = gaussian_accuracy(samples(flow, preprocessing, 5000))
            print(f"One Gaussian is told from the teacher with accuracy {told:.3f}.\n", flush=True)
            student = distill(teacher, "iaf", time_limit=STUDENT_SECONDS, progress=False)
            print("\n".join(comparison(pf.results(student)["distillation"])))
            print(pf.results(student)["verdict"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
