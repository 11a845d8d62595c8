"""Surjections where they should help: absolute values on symmetric data, sorting on sets, max-pooling on images.

    python benchmarks/survae.py toys --steps 600 --seeds 2
    python benchmarks/survae.py sets --steps 500
    python benchmarks/survae.py images MNIST_FOLDER --steps 250

Toys and sets have known entropies: what is printed is how far the test log-likelihood stays below minus the entropy, in nats per row, for
the surjection and for the same coupling flow without it, which trains for more steps as its step is cheaper, so that both take the same
CPU time. The folder holds train.parquet and test.parquet in the Hub's layout; its images are shrunk to 16 x 16, whole numbers 0..255. One
thread.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from pushforward import Flow, Normal, Transform
from pushforward.core import Inverse
from pushforward.data import TOYS, Rows, entropy
from pushforward.distributions import Free, Given
from pushforward.evaluation import evaluate
from pushforward.likelihoods import Exponential, HalfNormal
from pushforward.likelihoods import Normal as NormalLikelihood
from pushforward.models import abs_flow, nsf, sort_flow
from pushforward.models.images import pixels
from pushforward.nets import ResNet
from pushforward.training import fit
from pushforward.transforms import ActNorm, Coupling, MaxPool2d, Slice, Squeeze, checkerboard, half_channels
from pushforward.univariate import Affine

Draw = Callable[[int, np.random.Generator], np.ndarray]
Make = Callable[[], Flow]
SIZES = {"steps": 4, "bins": 8, "width": 48}
COUNTS = (100_000, 5_000, 20_000)  # rows of train, valid, test
TIMED = 60  # steps that tell what a step takes
SIDE, CORNERS, NOISE = 16, 6, 0.15


def hexagons(n: int, rng: np.random.Generator) -> np.ndarray:
    """The corners of a hexagon of radius 1.5, each with noise, in an order drawn for each row: x1, y1, x2, y2, ..."""
    angle = 2 * np.pi * np.arange(CORNERS) / CORNERS + 0.17
    points = 1.5 * np.stack([np.cos(angle), np.sin(angle)], 1) + NOISE * rng.standard_normal((n, CORNERS, 2))
    order = rng.random((n, CORNERS)).argsort(1)
    return np.take_along_axis(points, order[:, :, None], 1).reshape(n, 2 * CORNERS)


def four_of_moons(n: int, rng: np.random.Generator) -> np.ndarray:
    """Four independent points of the moons: whose order says nothing, and which have nothing to do with each other."""
    return TOYS["moons"](4 * n, rng).reshape(n, 8)


# name -> draws, their entropy, the surjection
SYMMETRIC: dict[str, tuple[Draw, float, Callable[..., Flow]]] = {
    name: (TOYS[name], entropy(name), partial(abs_flow, signs="learned" if name == "checkerboard" else "random"))
    for name in ("8gaussians", "circles", "rings", "checkerboard")
}
SETS: dict[str, tuple[Draw, float, Callable[..., Flow]]] = {
    "hexagon, 6 corners": (
        hexagons,
        CORNERS * (1 + math.log(2 * math.pi * NOISE**2)) + math.lgamma(CORNERS + 1),
        partial(sort_flow, coordinates=2),
    ),
    "4 points of moons": (four_of_moons, 4 * entropy("moons"), partial(sort_flow, coordinates=2)),
}


def rows_of(draw: Draw) -> list[Rows]:
    rng = np.random.default_rng(0)
    return [Rows(torch.from_numpy(draw(n, rng)).float()) for n in COUNTS]


def trained(make: Make, seed: int, data: list[Rows], steps: int) -> tuple[Flow, float]:
    """The flow after so many steps, and the CPU seconds that they took."""
    torch.manual_seed(seed)
    flow = make()
    start = time.process_time()
    fit(flow, data[0], data[1], steps=steps, batch=256, lr=3e-3, ema=0.995, seed=seed, every=steps, compile="no", progress=False)
    return flow, time.process_time() - start


def beside(cases: dict[str, tuple[Draw, float, Callable[..., Flow]]], steps: int, seeds: int) -> None:
    """A line for each data set: the gaps of both, and what they took."""
    print("| data | surjection | the same without | nats gained | steps | parameters | CPU seconds |\n|---|---|---|---|---|---|---|")
    for name, (draw, best, behind) in cases.items():
        data = rows_of(draw)
        shape = data[0].x.shape[1:]
        ours = partial(behind, shape, **SIZES)
        plain = partial(nsf, shape, mechanism="coupling", marginals=16, **SIZES)
        cost = [trained(make, 0, data, TIMED)[1] for make in (ours, plain)]
        counts = steps, round(steps * cost[0] / cost[1])
        gaps, seconds, sizes = np.zeros((2, seeds)), [0.0, 0.0], [0, 0]
        for seed in range(seeds):
            for i, (make, count) in enumerate(zip((ours, plain), counts)):
                flow, took = trained(make, seed, data, count)
                gaps[i, seed] = -best - evaluate(flow, data[2]).nats
                seconds[i] += took / seeds
                sizes[i] = sum(parameter.numel() for parameter in flow.parameters())
        cells = [" ".join(f"{gap:.3f}" for gap in row) for row in gaps]
        row = [name, *cells, f"{(gaps[1] - gaps[0]).mean():.3f}", " / ".join(f"{n:,}" for n in counts)]
        print("|", " | ".join([*row, " / ".join(f"{n:,}" for n in sizes), " / ".join(f"{s:.0f}" for s in seconds)]), "|", flush=True)


def shrunk(path: Path) -> torch.Tensor:
    """Images ``(N, 1, 16, 16)`` of whole numbers, averaged over the area of a pixel."""
    column = pq.read_table(path, columns=["image"])["image"].to_pylist()
    size = (SIDE, SIDE)
    images = [np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("L").resize(size, Image.Resampling.BOX)) for cell in column]
    return torch.from_numpy(np.stack(images)).unsqueeze(1)


def couplings(side: int, width: int) -> list[Transform]:
    """Two over checkerboards and two over the channels of the squeezed image."""
    layers: list[Transform] = []
    for odd in (False, True):
        layers += [ActNorm(1), Coupling(checkerboard((1, side, side), odd), Affine(), ResNet(1, 2, width=width, depth=1))]
    layers.append(Squeeze())
    for odd in (False, True):
        layers += [ActNorm(4), Coupling(half_channels(4, odd), Affine(), ResNet(2, 4, width=width, depth=1))]
    return [*layers, Inverse(Squeeze())]


def pooled(kind: str, width: int = 16) -> Flow:
    """Two scales, at the end of each three of four numbers leave: the smaller ones of a cell, or those of fixed places."""
    layers = pixels(256, 0.0)
    for side in (SIDE, SIDE // 2):
        shape, kept = (3, side // 2, side // 2), (1, side // 2, side // 2)
        layers += couplings(side, width)
        net = partial(ResNet, 1, width=width, depth=1)
        if kind == "slice":
            layers += [Squeeze(), Slice(1, Given(NormalLikelihood(), net(6), shape, context=kept))]
        elif kind == "half-normal":
            layers.append(MaxPool2d(Free(HalfNormal(), shape)))
        else:
            layers.append(MaxPool2d(Given(Exponential(), net(3), shape, context=kept)))
    last = SIDE // 4
    return Flow(Normal((1, last, last)), *layers, *couplings(last, width), ActNorm(1), shape=(1, SIDE, SIDE))


def images(folder: Path, steps: int) -> None:
    train, test = (shrunk(folder / f"{part}.parquet") for part in ("train", "test"))
    data = [Rows(train[:-5000]), Rows(train[-2000:]), Rows(test)]
    print("| what leaves | bits/dim | ± | steps | parameters | CPU seconds |\n|---|---|---|---|---|---|")
    for kind in ("slice", "half-normal", "exponential given z"):
        torch.manual_seed(0)
        flow = pooled(kind)
        start = time.process_time()
        fit(flow, data[0], data[1], steps=steps, batch=64, lr=2e-3, ema=0.995, every=steps, compile="no", progress=False)
        took, score = time.process_time() - start, evaluate(flow, data[2])
        bits = 1 / (SIDE**2 * math.log(2))
        size = sum(parameter.numel() for parameter in flow.parameters())
        print(f"| {kind} | {-score.nats * bits:.4f} | {score.stderr * bits:.4f} | {steps:,} | {size:,} | {took:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("toys", "sets", "images"))
    parser.add_argument("folder", type=Path, nargs="?", help="of MNIST, for images")
    parser.add_argument("--steps", type=int, default=1500, help="of training; those of the flow without a surjection follow")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.what == "images":
        if chosen.folder is None:
            parser.error("images needs the folder of MNIST")
        images(chosen.folder, chosen.steps)
    else:
        beside(SYMMETRIC if chosen.what == "toys" else SETS, chosen.steps, chosen.seeds)


if __name__ == "__main__":
    main()
