"""What the page asks of a run of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import latent
from ..data import ImageSchema, Rows
from ..distributions import Causal
from ..plots import to_bytes
from ..subjects.image_samples import sample_images, whole
from ..training import Run
from ..verbs.completing import complete
from ..verbs.image_rows import from_files, images_of, labelled

LEARNED = 1500  # images that make the directions
MOST_SLIDERS = 12  # that get a slider
STARTS = 200  # of the run's own test images to choose from
SIDE, LARGE_SIDE = 64, 224  # pixels of the longer side of a shown image, at least: one of many, one of two


class ImageRoom:
    """Samples, paths, edits and completions of one run, as pictures ``(H, W, 3)``.

    Attributes:
        run: of images.
        images: its own to start from.
        has_latent: whether images can be moved.
        completes: whether their upper rows can be kept and the others drawn.
    """

    def __init__(self, run: Run, schema: ImageSchema):
        self.run, self.schema, self.flow = run, schema, run.flow
        self.completes = isinstance(self.flow.base, Causal)
        self.has_latent = not self.flow.base.support.is_discrete
        self._start: tuple[Any, Tensor] | None = None  # the last image that was moved, and its latent

    @cached_property
    def images(self) -> Rows:
        return images_of(self.run).pick(slice(0, STARTS))

    def samples(self, temperature: float, seed: int, n: int, context: Any = None) -> np.ndarray:
        """A sheet of n samples."""
        x = sample_images(self.run, self.schema, n, context=context, temperature=[temperature], seed=seed)
        return sheet(x, self.schema.levels)

    def image(self, number: int, file: str | None = None) -> Rows:
        """One of the run's own images, or an uploaded one in its shape and levels."""
        if file is not None:
            return from_files(self.run, self.schema, [file], None if self.images.context is None else self.images.context[:1])
        return self.images.pick(slice(number, number + 1))

    def shown(self, rows: Rows) -> np.ndarray:
        return sheet(rows.x.numpy(), self.schema.levels)

    def between(self, first: Rows, second: Rows, steps: int = 9) -> np.ndarray:
        """The path from one image to another, in a line."""
        path = latent.interpolate(self.flow, first.x, second.x, steps, "spherical", first.context, second.context)
        shown = whole(path[0], self.schema.levels)
        shown[0], shown[-1] = first.x[0].numpy(), second.x[0].numpy()
        return sheet(shown, self.schema.levels, columns=steps)

    @cached_property
    def labels(self) -> list[str]:
        """The values of the first column of labels that gets sliders; none where there are no labels."""
        if not self.has_latent:
            return []
        try:
            images, _ = labelled(self.run, self.schema)
        except (ValueError, OSError):
            return []
        if not images.labels.column_names:
            return []
        values = {str(value) for value in images.labels[self._column(images.labels.column_names)].to_pylist()}
        return sorted(values) if 1 < len(values) <= MOST_SLIDERS else []

    @staticmethod
    def _column(names: Sequence[str]) -> str:
        return "label" if "label" in names else names[0]

    @cached_property
    def directions(self) -> Tensor:
        """From the mean latent of all images to that of each label, ``(labels, *base)``; seconds when it is first asked for."""
        images, rows = labelled(self.run, self.schema)
        found = np.array([str(value) for value in images.labels[self._column(images.labels.column_names)].to_pylist()])
        picked = np.random.default_rng(0).permutation(len(found))[:LEARNED]
        part, names = rows.pick(picked), found[picked]
        z = latent.encode(self.flow, part.x, part.context)
        middle = z.mean(0)
        return torch.stack([z[torch.from_numpy(names == label)].mean(0) - middle for label in self.labels]).nan_to_num(0.0)

    def edited(self, key: Any, rows: Rows, strengths: Sequence[float]) -> np.ndarray:
        """An image beside itself moved along the directions of the labels; its latent is kept for the next move of a slider."""
        if self._start is None or self._start[0] != key:
            self._start = key, latent.encode(self.flow, rows.x, rows.context)
        z = self._start[1]
        weights = torch.tensor(list(strengths), dtype=z.dtype).reshape(-1, *(1 for _ in self.flow.base.shape))
        moved = z + (weights * self.directions.to(z)).sum(0, keepdim=True)
        x = latent.decode(self.flow, moved, rows.context)
        return sheet(np.concatenate([rows.x.numpy(), whole(x, self.schema.levels)]), self.schema.levels, columns=2, side=LARGE_SIDE)

    def completed(self, file: str | None, keep: int, n: int, seed: int) -> np.ndarray:
        """Images whose upper rows are kept, each with n completions."""
        context = None
        if file is not None and self.schema.context:
            context = self.schema.decode_context(self.images.context[:1]).to_pylist()  # type: ignore[index]
        strip = complete(self.run, [file] if file else [], keep=f"top-{keep}", n=n, seed=seed, context=context)
        return sheet(strip.images.reshape(-1, *strip.images.shape[2:]), self.schema.levels, columns=strip.images.shape[1])


def sheet(images: np.ndarray, levels: int, columns: int = 0, gap: int = 2, side: int = SIDE) -> np.ndarray:
    """Images ``(n, C, H, W)`` side by side, each pixel a square: ``(H', W', 3)``."""
    pixels = to_bytes(images, levels)
    n, channels, height, width = pixels.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    scale = max(1, math.ceil(side / max(height, width)))
    lines, high, wide = -(-n // columns), scale * height + gap, scale * width + gap
    found = np.full((lines * high - gap, columns * wide - gap, 3), 255, np.uint8)
    for i, image in enumerate(pixels):
        big = image.repeat(scale, 1).repeat(scale, 2).transpose(1, 2, 0)
        top, left = i // columns * high, i % columns * wide
        found[top : top + high - gap, left : left + wide - gap] = big if channels == 3 else big.repeat(3, 2)
    return found
