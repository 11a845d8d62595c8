"""The figures of a model of images: sheets, extremes, likelihoods, and what it drew while it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from ..core import Flow
from ..distributions import Causal, Multiscale
from ..evaluation import entering, log_likelihood
from .curves import likelihoods
from .images import extremes, sheets
from .picture import Picture
from .pixel_pictures import pixel_figures
from .style import bare, figure, style

if TYPE_CHECKING:
    from ..data import Data, Rows
    from ..evaluation import Score

SIDE = 8  # images in a row of a sheet
FEW = 16  # images that are looked at pixel by pixel
NUMBERS = 2**19  # in the images whose likelihoods are drawn, so that large images do not take minutes

EXTREMES = (
    "Test images with the lowest and the highest number of bits per dimension. The least likely are where to look for odd images; "
    "the most likely are mostly smooth or empty."
)
TRAINING = "Samples as training went on, each sheet from the same noise."


def image_figures(flow: Flow, data: Data, score: Score, training: Sequence[tuple[int, Path]]) -> list[Picture]:
    """Data beside what the flow makes of them; ``score`` is its own, ``training`` are sheets with their steps.

    Images and samples are drawn from the global generator.
    """
    schema = data.schema
    count = max(SIDE**2, min(500, NUMBERS // schema.dim))
    test = _some(data.test, count)
    drawn = _samples(flow, test)
    span = (schema.shape, 0.0, schema.levels - 1.0)
    words = "Images of the data and of the model, neither of them picked."
    if test.context is not None:
        words += " Each sample was drawn for the label of the image in its place."
    found = [Picture("images", "Images", words, sheets(test.x.numpy(), drawn.x.numpy(), *span, side=SIDE))]
    held_out = score.per_row if score.per_row is not None and len(score.per_row) == len(data.test) else None
    if held_out is not None:
        odd = extremes(data.test.x.numpy(), held_out, *span, bits=True)
        found.append(Picture("extremes", "Most and least likely", EXTREMES, odd))
    if isinstance(flow.base, Causal | Multiscale):
        x, context = entering(flow, test.x[:FEW], None if test.context is None else test.context[:FEW])
        found += pixel_figures(flow.base, x, None if context is None else flow.embedding(context), schema)
    if training:
        course = progress([step for step, _ in training], [path for _, path in training])
        found.append(Picture("progress", "Samples over time", TRAINING, course))
    train = log_likelihood(flow, _some(data.train, count)).numpy()
    shown = log_likelihood(flow, test).numpy() if held_out is None else held_out
    own = log_likelihood(flow, drawn).numpy()
    if np.isfinite(np.concatenate([train, shown, own])).any():
        words = "Training images right of test images: the model has learned images by heart. Samples and test images apart: the model is "
        words += "surer, or less sure, of its own images than of the data."
        found.append(Picture("likelihoods", "Log-likelihood of images", words, likelihoods(train, shown, own)))
    return found


@style()
def progress(steps: Sequence[int], paths: Sequence[Path], most: int = 6) -> Figure:
    """Sheets beside each other, with the steps after which they were drawn."""
    from PIL import Image

    at = sorted({round(i) for i in np.linspace(0, len(steps) - 1, min(most, len(steps)))})
    picture = figure(9.2, 9.2 / max(3, len(at)) + 0.35, gap=0.03)
    for ax, i in zip(np.ravel(picture.subplots(1, max(3, len(at)), squeeze=False)), [*at, *[None] * (3 - len(at))]):
        bare(ax)
        if i is None:
            ax.set_visible(False)
            continue
        with Image.open(paths[i], formats=("PNG",)) as image:
            ax.imshow(np.asarray(image.convert("RGB")), interpolation="antialiased")
        ax.set_title(f"step {steps[i]:,}", fontsize=9)
    return picture


def _some(rows: Rows, most: int) -> Rows:
    return rows.pick(torch.randperm(len(rows))[:most].numpy())


def _samples(flow: Flow, like: Rows) -> Rows:
    """As many samples, each given the label of its row; what is not finite is black."""
    _, context = entering(flow, like.x[:1], like.context)
    parts = []
    size = max(1, 2**18 // like.x[0].numel())
    with torch.no_grad():
        for start in range(0, len(like), size):
            here = slice(start, start + size)
            x = flow.sample((len(like.x[here]),)) if context is None else flow.sample((), context[here])
            parts.append(x.nan_to_num(0.0, 0.0, 0.0).cpu())
    return type(like)(torch.cat(parts), like.context)
