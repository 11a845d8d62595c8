"""Paths between images, and images through the latent and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import latent, plots
from ..data import ImageSchema, Rows
from ..evaluation import settled
from ..latent.paths import Kind
from ..subjects.image_samples import whole
from ..training import Run
from .image_rows import Strip, check_png, chosen, from_files, image_run, images_of, label_words, some

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def interpolate(
    run: Run | str | Path,
    images: Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    data: Any = None,
    rows: Sequence[tuple[int, int]] = (),
    n: int = 6,
    kind: Kind = "spherical",
    steps: int = 9,
    seed: int = 0,
) -> Strip:
    """Images along paths of latents, from one image to another.

    Arguments:
        run: a run of images, or its directory.
        images: image files, two for each path; they are cut and resized as the run needs them.
        out: the picture to write, .png.
        data: images to choose from; the run's own test images otherwise.
        rows: pairs of numbers of such images; ``n`` pairs drawn by ``seed`` otherwise.
        n: how many pairs are drawn.
        kind: "spherical" or "linear".
        steps: images on a path, with its ends.
        seed: of the choice.

    Raises:
        ValueError: an odd number of files, rows that are not there, images that don't fit the run, or a path that can't be written.

    Example::

        >>> interpolate("runs/mnist-glow", out="strip.png", rows=[(3, 17), (4, 20)]).images.shape
        (2, 9, 1, 28, 28)
    """
    run, schema = image_run("interpolate", run)
    check_png("interpolate", out)
    if images and (len(images) % 2 or data is not None or rows):
        raise ValueError(f"interpolate: expected two image files for each path, and no data or rows beside them; got {len(images)} files")
    if images:
        first, second = (from_files(run, schema, images[start::2]) for start in (0, 1))
    else:
        source = images_of(run, data)
        drawn = some(source, 2 * n, seed)
        pairs = list(rows) or list(zip(drawn[::2], drawn[1::2]))
        if not pairs:
            raise ValueError(f"interpolate: expected at least one pair of images, got {len(source)} images and n={n}")
        first, second = (chosen("interpolate", source, [pair[side] for pair in pairs]) for side in (0, 1))
    path = latent.interpolate(run.flow, first.x, second.x, steps, kind, first.context, second.context)
    shares = [f"{i / (steps - 1):.2g}" for i in range(steps)]
    columns = ("data", *shares[1:-1], "data")
    shown = whole(path, schema.levels)
    shown[:, 0], shown[:, -1] = first.x.numpy(), second.x.numpy()
    names = tuple(f"{a} to {b}" for a, b in zip(label_words(schema, first), label_words(schema, second)))
    words = f"Each row goes from an image to another along a {kind} path of latents; framed in blue: the images themselves."
    return Strip(shown, schema.levels, columns, names, (0, steps - 1), words).write(out)


@dataclass(frozen=True)
class Reconstructed:
    """What came back of images from their latents.

    Attributes:
        checked: how many images went through.
        error: the largest difference of a pixel.
        wrong: pixels that came back as another whole number.
        exact: images without such.
        x, back: the images that are shown, and what came back of them, ``(n, C, H, W)``.
        levels: values of a pixel.
        scales: their finest scales drawn anew, if that was asked for.
        lossy: the latent holds less than the images, so that they need not come back.
    """

    checked: int
    error: float
    wrong: int
    exact: int
    x: np.ndarray
    back: np.ndarray
    levels: int
    scales: Strip | None
    lossy: bool = False

    def figure(self) -> Figure:
        """Images, what came back, and the difference; or the strip of scales."""
        return plots.reconstructions(self.x, self.back, self.levels) if self.scales is None else self.scales.figure()

    def words(self) -> str:
        """The figures in a sentence."""
        if self.lossy:
            share = self.wrong / (self.checked * self.x[0].size)
            lost = "came back as others: the latent of this model does not hold all of them"
            return f"of {self.checked:,} images {share:.1%} of the pixels {lost}"
        return (
            f"{self.exact:,} of {self.checked:,} images came back exactly, with {self.wrong:,} wrong pixels; "
            f"the largest difference is {self.error:g} of {self.levels} levels"
        )


def reconstruct(
    run: Run | str | Path,
    data: Any = None,
    out: str | Path | None = None,
    *,
    n: int = 8,
    limit: int | None = 1000,
    resample: bool = False,
    temperature: float = 1.0,
    seed: int = 0,
) -> Reconstructed:
    """Images to latents and back, ``decode(encode(x))``, and how far what comes back is from what it was.

    Arguments:
        run: a run of images, or its directory.
        data: images; the run's own test images otherwise.
        out: the picture to write, .png: images, what came back, their difference.
        n: how many images are shown, drawn by ``seed``.
        limit: how many are checked at most, the first ones; None for all.
        resample: draw the finest scale of the latent anew, then the two finest and so on, and show that instead.
        temperature: of what is drawn.
        seed: of the choice and of the noise.

    Raises:
        ValueError: images that don't fit the run, a path that can't be written, or scales that can't be told.

    Example::

        >>> print(reconstruct("runs/mnist-glow", limit=None).words())
        10,000 of 10,000 images came back exactly, with 0 wrong pixels; the largest difference is 0 of 256 levels
    """
    run, schema = image_run("reconstruct", run)
    check_png("reconstruct", out)
    if n < 1 or (limit is not None and limit < 1):
        raise ValueError(f"reconstruct: expected at least one image to show and to check, got n={n} and limit={limit}")
    source = images_of(run, data)
    first = source.pick(slice(0, limit))
    found = latent.reconstruct(run.flow, first.x, first.context)
    numbers = some(first, n, seed)
    shown = chosen("reconstruct", first, numbers)
    back = whole(found.x[torch.tensor(numbers, device=found.x.device)], schema.levels)
    scales = _scales(run, schema, shown, back, temperature, seed) if resample else None
    result = Reconstructed(
        len(first),
        found.error,
        found.wrong,
        found.exact,
        shown.x.numpy(),
        back,
        schema.levels,
        scales,
        run.flow.transform.stochastic_inverse,
    )
    if out is not None:
        plots.save(result.figure(), out)
    return result


def _scales(run: Run, schema: ImageSchema, rows: Rows, back: np.ndarray, temperature: float, seed: int) -> Strip:
    """The images beside themselves with ever more of the finest scales drawn anew."""
    at = latent.scales(run.flow)
    count = int(at.max()) + 1
    columns, images = ["data", "from latent"], [rows.x.numpy(), back]
    with settled(run.flow, seed):
        for k in range(1, count + 1):
            images.append(whole(latent.resample(run.flow, rows.x, k, temperature, context=rows.context)[:, 0], schema.levels))
            share = f"{100 * float((at < k).double().mean()):.3g} %"
            columns.append(f"{share} new" if k < count else "all new")
    words = (
        f"From left to right more of the latent is drawn anew, the finest of {count} scales first: what stays alike, the coarse ones hold."
    )
    return Strip(np.stack(images, 1), schema.levels, tuple(columns), label_words(schema, rows), (0,), words)
