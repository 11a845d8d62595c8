"""What a lossy latent keeps: images, and others drawn from their latents, in which strokes are new and the drawing is the same.

    pushforward fit STATIC_MNIST/train.parquet --test STATIC_MNIST/test.parquet --bits 1 --preset vlae_mnist_binary_small -o runs/vlae
    python examples/texture.py runs/vlae              # a minute; the picture goes to runs/figures, or to --out

The decoder of a variational lossy autoencoder sees the pixels near the one it draws. What these tell need not be in the latent, which
keeps what they do not (Chen et al., 2016, arXiv:1611.02731). Printed: how many pixels differ between an image and what is drawn from
its latent, between two such drawings, and between an image and the drawing of another.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import pushforward as pf
from pushforward.plots.images import sheet_of
from pushforward.verbs.runs import data_of

IMAGES, DRAWN, ZOOM = 8, 4, 3


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"))
    chosen = parser.parse_args()
    run = pf.Run.load(chosen.run)
    flow, test = run.flow.eval(), data_of(run).test
    torch.manual_seed(0)
    x = test.x[torch.randperm(len(test))[:IMAGES]].to(flow.entry.dtype)
    z = flow.encode(x)
    drawn = torch.stack([flow.transform.generate(z) for _ in range(DRAWN)])

    def differ(a: torch.Tensor, b: torch.Tensor) -> str:
        return f"{float((a != b).double().mean()):.1%}"

    print(
        f"pixels that differ: an image and its drawing {differ(x.expand_as(drawn), drawn)}, two drawings {differ(drawn[1:], drawn[:-1])},"
    )
    print(f"an image and the drawing of another {differ(x.roll(1, 0).expand_as(drawn), drawn)}")
    rows = torch.stack([x, *drawn], 1).transpose(0, 1).flatten(0, 1)
    picture = sheet_of(rows.numpy(), run.schema.shape, 0.0, run.schema.levels - 1.0, IMAGES)
    chosen.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * np.kron(picture, np.ones((ZOOM, ZOOM)))).astype(np.uint8)).save(chosen.out / "texture.png")


if __name__ == "__main__":
    main()
