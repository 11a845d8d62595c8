"""A face as a density of the plane: the picture, the density that a 2-D autoregressive flow learns from points of it, and new points.

    python examples/face.py                     # three minutes; the picture goes to runs/figures, or to --out
    python examples/face.py --image photo.png --dark

Prints the gap between the entropy of the picture and the negative log-likelihood on new points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from pushforward import Flow
from pushforward.data import Data, load
from pushforward.data.image_density import ImageDensity, image_density
from pushforward.evaluation import evaluate
from pushforward.models import mixture_cdf
from pushforward.plots import save
from pushforward.plots.density import density
from pushforward.plots.style import bare, figure, number, style
from pushforward.training import fit

SHOWN = 200_000  # new points


@style()
@torch.no_grad()
def draw(picture: ImageDensity, data: Data, flow: Flow, gap: float) -> Figure:
    """The picture, its training points, the flow's density and the flow's points, in the same greys."""
    height, width = picture.mass.shape
    size = width * picture.side, height * picture.side
    x, y = ((np.arange(n) + 0.5) * picture.side for n in (width, height))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    learnt = density(flow, points).reshape(height, width)[::-1]
    true = picture.mass / picture.side**2
    greys = "gray" if picture.drawn == "bright" else "gray_r"
    top = float(np.percentile(true, 99.7))
    bins = [np.linspace(0, end, round(160 * end) + 1) for end in size]

    def histogram(rows: np.ndarray) -> np.ndarray:
        return np.histogram2d(rows[:, 0], rows[:, 1], bins, density=True)[0].T[::-1]

    panels = [
        ("picture", true),
        (f"{len(data.train):,} points of it", histogram(data.train.x.numpy())),
        (f"flow's density, gap {number(gap)} nats", learnt),
        (f"{SHOWN:,} points of the flow", histogram(flow.sample((SHOWN,)).double().numpy())),
    ]
    drawn = figure(12, 12 / 4 * size[1] / size[0] + 0.4)
    for ax, (title, shade) in zip(drawn.subplots(1, 4), panels):
        ax.imshow(shade, cmap=greys, vmin=0, vmax=top, extent=(0, size[0], 0, size[1]), interpolation="nearest")
        ax.set_title(title)
        bare(ax)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="face", help="a picture's path; the portrait that matplotlib brings otherwise")
    parser.add_argument("--dark", action="store_true", help="points fall where the picture is dark")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the picture")
    parser.add_argument("--steps", type=int, default=6000, help="of training, with 1,024 points each")
    chosen = parser.parse_args()
    source = f"image:{chosen.image}{'?dark' if chosen.dark else ''}"
    data = load(source)
    print("\n".join(data.notes))
    torch.manual_seed(0)
    flow = mixture_cdf((2,), components=30, width=256, depth=3).prepend(*data.schema.layers())
    history = fit(flow, data.train, data.valid, steps=chosen.steps, batch=1024, lr=2e-3, ema=0.999, progress=False)
    score = evaluate(flow, data.test)
    assert data.entropy is not None
    gap = -data.entropy - score.nats
    print(f"{score.nats:.4f} ± {score.stderr:.4f} nats per point, {gap:.4f} below minus the entropy")
    print(f"{history.steps} steps in {history.seconds:.0f} s")
    path = chosen.out / f"{Path(chosen.image).stem}.png"
    save(draw(image_density(source), data, flow, gap), path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
