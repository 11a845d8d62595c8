"""Which model for which table: what `pushforward fit` without `--model` rests on.

    python benchmarks/recommendation.py                          # the embedded tables
    python benchmarks/recommendation.py kin40k.parquet ...       # and training sets of 100 rows and more, drawn from larger files
    python benchmarks/recommendation.py --simple                 # the recommended model against simple densities, row by row

Candidates train by their own presets until early stopping, `--seconds` at most; figures are test nats per row of standardized
columns. Files follow the usual protocol (shuffled by seed 0, 80/10/10); smaller training sets are their first rows, with a tenth
as many for validation, and the whole test split.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np
import torch

import pushforward as pf
from pushforward import baselines
from pushforward.core import Chain
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


def independent(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Correlations of about 0.05."""
    return r.standard_normal((rows, columns)) @ (np.eye(columns) + 0.05 * r.standard_normal((columns, columns)))


def correlated(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A Gaussian, each correlation 0.5."""
    return r.standard_normal((rows, columns)) + r.standard_normal((rows, 1))


def mixed(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A Gaussian of any covariance."""
    return r.standard_normal((rows, columns)) @ r.standard_normal((columns, columns))


def skewed(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Log-normal columns, nearly independent."""
    return np.exp(0.8 * independent(r, rows, columns))


def exponential(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return r.exponential(size=(rows, columns))


def humps(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Two humps in each column."""
    return 0.3 * r.standard_normal((rows, columns)) + r.choice([-1.0, 1.0], (rows, columns))


SYNTHETIC = (
    (independent, 100, 40),
    (mixed, 300, 10),
    (exponential, 1_000, 20),
    (humps, 2_000, 5),
    (correlated, 5_000, 40),
    (skewed, 8_000, 30),
)


def against_simple(source, seconds: float) -> str:
    """Nats of the recommended model and of simple densities, its lead over the best of these, and the error of the lead over test rows."""
    data, run = load(source), pf.fit(source, time_limit=seconds, progress=False, report=False)
    splits = [rows.x for rows in (data.train, data.valid, data.test)]
    torch.manual_seed(0)
    chain = Chain(*run.schema.layers())
    z, ldj = zip(*(chain(x) for x in splits), strict=True)
    train, valid, test = (rows.double().numpy() for rows in z)
    with torch.no_grad():
        mine = run.flow.log_prob(splits[2]).double().numpy()
    simple = [
        fit(train, valid)[1](test) + ldj[2].double().numpy()
        for fit in (baselines.gaussian, baselines.gaussian_mixture, baselines.independent)
    ]
    lead = mine - max(simple, key=np.mean)
    means = [f"{values.mean() + run.schema.log_scale:.2f}" for values in (mine, *simple)]
    error = lead.std(ddof=1) / len(lead) ** 0.5
    return " | ".join([f"{len(train)} x {train.shape[1]}", run.config["model"]["name"], *means, f"{lead.mean():+.2f}", f"{error:.2f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--simple", action="store_true")
    options = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, seed 0\n")
    if options.simple:
        print("| table | rows x columns | model | recommended | " + " | ".join([*BASELINES, "lead over the best | its error |"]))
        print("|---" * (len(BASELINES) + 6) + "|")
        for name in ("wine", "breast_cancer"):
            print(f"| {name} | {against_simple(name, options.seconds)} |", flush=True)
        for seed, (make, rows, columns) in enumerate(SYNTHETIC):
            table = make(np.random.default_rng(seed), rows, columns)
            print(f"| {make.__name__} | {against_simple(table, options.seconds)} |", flush=True)
        return
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
