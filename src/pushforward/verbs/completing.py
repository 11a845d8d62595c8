"""Images completed from their upper part, by models that draw pixel after pixel."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.context import context_rows
from ..distributions import Causal
from ..evaluation import entering, settled
from ..subjects.image_samples import whole
from ..training import Run
from .image_rows import Strip, check_png, from_files, image_run, images_of, label_words, some

PARTS = {"half": 2, "third": 3, "quarter": 4}
OWN = 6  # of the run's own images, where none is given


def complete(
    run: Run | str | Path,
    images: Sequence[str | Path] = (),
    out: str | Path | None = None,
    *,
    keep: str = "top-half",
    n: int = 6,
    context: Any = None,
    seed: int | None = None,
) -> Strip:
    """Images whose upper rows are kept and whose other pixels are drawn from ``p(rest | top)``, exactly.

    Arguments:
        run: a run of images whose model draws pixel after pixel from the top left, or its directory.
        images: image files, cut and resized as the run needs them; six of the run's own test images otherwise.
        out: the picture to write, .png.
        keep: "top-half", "top-third", "top-quarter", or "top-10" for ten rows.
        n: completions of each.
        context: what a conditional run is to be told of files, one row, as :func:`pushforward.sample` takes it.
        seed: of the completions, and of the choice of images; others at each call without one.

    Raises:
        ValueError: a model of another kind, a part that there is not, images that don't fit the run, or a path that can't be written.

    Example::

        >>> complete("runs/mnist-pixel_cnn", ["seven.png"], "completed.png", keep="top-10", n=4).images.shape
        (1, 6, 1, 28, 28)
    """
    run, schema = image_run("sample", run, latent=False)
    check_png("sample", out)
    if not isinstance(run.flow.base, Causal):
        raise ValueError(
            f"sample: {run.config['model']['name']} does not draw pixel after pixel, so nothing can be kept; use pixel_cnn or its kin"
        )
    seed = secrets.randbelow(2**31) if seed is None else seed
    channels, height, width = schema.shape
    rows = kept_rows(keep, height)
    if images:
        shown = from_files(run, schema, images, context_rows(schema, context))
    else:
        if context is not None:
            raise ValueError("sample: the run's own test images have their labels; leave the context out, or give an image file to keep of")
        source = images_of(run)
        shown = source.pick(np.asarray(some(source, OWN, seed)))
    mask = (torch.arange(height) < rows)[:, None].expand(channels, height, width)
    x, given = entering(run.flow, shown.x, shown.context)
    drawn = []
    with settled(run.flow, seed), torch.no_grad():
        embedded = None if given is None else run.flow.embedding(given)
        for _ in range(n):
            drawn.append(whole(run.flow.base.complete(x, mask.to(x.device), embedded), schema.levels))
    first = shown.x.numpy().astype(drawn[0].dtype)
    top = np.where(mask.numpy(), first, (schema.levels - 1) // 2)
    strip = np.stack([first, top, *drawn], 1)
    columns = ("data", f"{rows} rows kept", *["completed"] * n)
    words = f"The upper {rows} of {height} rows are kept, the others drawn from their distribution given these; framed in blue: the image."
    return Strip(strip, schema.levels, columns, label_words(schema, shown), (0,), words).write(out)


def kept_rows(keep: str, height: int) -> int:
    """Rows of ``top-half`` or ``top-10`` of an image.

    Raises:
        ValueError: it is none of these, or there are not so many rows.
    """
    part = re.fullmatch(r"top-(half|third|quarter|\d{1,6})", keep)
    if part is None:
        raise ValueError(f"sample: expected a part to keep as top-half, top-third, top-quarter or top-10 (rows), got {keep!r}")
    rows = -(-height // PARTS[part[1]]) if part[1] in PARTS else int(part[1])
    if not 0 < rows < height:
        raise ValueError(f"sample: expected to keep 1 to {height - 1} of {height} rows, got {rows}")
    return rows
