"""Learning curves of runs on images: validation bits per dimension against minutes, as a table and a picture.

python benchmarks/image_curves.py runs/mnist-* --out benchmarks/results/mnist
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

from pushforward.plots import save
from pushforward.plots.style import figure, style
from pushforward.training import Run


def curve(path: Path) -> list[dict[str, str]]:
    """The validations of a run."""
    run = Run.load(path)
    nats = math.prod(run.schema.shape) * math.log(2)
    return [
        {"run": path.name, "minutes": f"{r['seconds'] / 60:.2f}", "step": str(r["step"]), "bits_per_dim": f"{r['valid'] / nats:.4f}"}
        for r in run.metrics()
        if r["valid"] is not None
    ]


@style()
def draw(curves: list[list[dict[str, str]]], path: Path) -> None:
    picture = figure(6.5, 3.6)
    ax = picture.subplots()
    for rows in curves:
        rows = rows[1:]  # the first is from before training
        ax.plot([float(r["minutes"]) for r in rows], [float(r["bits_per_dim"]) for r in rows], ".-", label=rows[0]["run"])
    last = [float(r["bits_per_dim"]) for rows in curves for r in rows[1:]]
    ax.set_ylim(min(last) - 0.03, max(last) + 0.03)
    ax.set_xlabel("minutes of training")
    ax.set_ylabel("bits per dimension")
    ax.set_title("Validation images, averaged weights")
    ax.legend()
    save(picture, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/curves"), help="without ending")
    options = parser.parse_args()
    curves = [curve(path) for path in options.runs]
    with open(options.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(curves[0][0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for rows in curves for row in rows)
    draw(curves, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
