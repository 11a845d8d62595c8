"""A picture as a density of the plane: points fall where it is bright, or where it is dark."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from ..words import listing, nearest
from .errors import DataError, reading
from .formats import read_array
from .pixels import opened

PREFIX = "image:"


@dataclass(frozen=True)
class ImageDensity:
    """Constant on each pixel. Pixels are squares and the picture's longer side has length 1: x to the right, y upwards, from 0.

    Attributes:
        name: what it is called.
        mass: the probability of each pixel, (H, W), top row first.
        drawn: which pixels are likely, "bright" or "dark".

    Example::

        >>> picture = image_density("image:face")
        >>> picture.mass.shape, picture.draw(5, np.random.default_rng(0)).shape, round(picture.entropy, 3)
        ((600, 512), (5, 2), -0.56)
    """

    name: str
    mass: np.ndarray
    drawn: str

    @property
    def side(self) -> float:
        """The length of a pixel's side."""
        return 1 / max(self.mass.shape)

    @property
    def entropy(self) -> float:
        """The differential entropy in nats, exact: ``-sum p log p + log(pixel's area)``."""
        p = self.mass[self.mass > 0]
        return float(-(p * np.log(p)).sum()) + 2 * math.log(self.side)

    def draw(self, n: int, rng: Generator) -> np.ndarray:
        """``n`` independent points ``(n, 2)``: a pixel by its probability, then a uniform point in it."""
        height, width = self.mass.shape
        pixel = rng.choice(self.mass.size, n, p=self.mass.ravel())
        corner = np.stack([pixel % width, height - 1 - pixel // width], 1)
        return self.side * (corner + rng.random((n, 2)))

    def note(self) -> str:
        """What was understood, as a sentence."""
        height, width = self.mass.shape
        size = f"{width * self.side:.4g} wide and {height * self.side:.4g} high"
        return f"Points of a picture of {width} x {height} pixels, {size}; {self.drawn} pixels are likely."


def image_density(source: str) -> ImageDensity:
    """The density that ``image:PATH``, ``image:PATH?dark`` or ``image:NAME`` stands for.

    A pixel's probability is proportional to its brightness (of colours, the luminance), with ``?dark`` to how much darker it is than the
    brightest; transparent pixels count less. PATH is a picture (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM), or a .npy array
    ``(H, W)`` of brightness, not negative. NAME is a picture that comes along (:data:`PICTURES`).

    Raises:
        DataError: no such file or name, not a picture, an unknown option, or pixels that are all alike.
    """
    place, option = _parse(source)
    if option not in ("", "dark"):
        raise DataError(f"{source}: unknown option {option!r}; write {PREFIX}{place}, or {PREFIX}{place}?dark for dark to be likely")
    known = PICTURES.get(PREFIX + place)
    path = known() if known else Path(place)
    if not path.is_file():
        names = [name.removeprefix(PREFIX) for name in PICTURES]
        hint = nearest(place, names) or "; check the path"
        raise DataError(f"{source}: there is no picture {str(path)!r}{hint} (names: {listing(names)})")
    shade = _array(path) if path.suffix.lower() == ".npy" else _picture(path)
    low, high = float(shade.min()), float(shade.max())
    if low == high:
        raise DataError(f"{path}: all {shade.size:,} pixels are {low:g}, which shows nothing; give a picture with bright and dark pixels")
    if option == "dark":
        shade = high - shade
    return ImageDensity(place if known else path.name, shade / shade.sum(), option or "bright")


def absolute(source: str) -> str:
    """The same source with the whole path, so that it can be found from another folder."""
    place, option = _parse(source)
    whole = place if PREFIX + place in PICTURES else str(Path(place).resolve())
    return f"{PREFIX}{whole}{option and '?'}{option}"


def face() -> Path:
    """The portrait of Grace Hopper that comes with matplotlib (US Navy, 1984, public domain), 512 x 600 pixels, as a density."""
    from matplotlib import cbook

    return Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


PICTURES: dict[str, Callable[[], Path]] = {f"{PREFIX}face": face}


def _parse(source: str) -> tuple[str, str]:
    place, _, option = source.removeprefix(PREFIX).partition("?")
    return place, option


def _array(path: Path) -> np.ndarray:
    with reading(str(path), ".npy"):
        shade = read_array(path)
    if shade.ndim != 2 or shade.dtype.kind not in "biuf" or not shade.size:
        raise DataError(f"{path}: expected the brightness of pixels, numbers (height, width), got {shade.dtype} {shade.shape}")
    shade = shade.astype(np.float64)
    if not np.isfinite(shade).all() or shade.min() < 0:
        raise DataError(f"{path}: a brightness must be finite and not negative; the least is {shade.min():g}; clip or shift the array")
    return shade


def _picture(path: Path) -> np.ndarray:
    """The luminance times the opacity of each pixel."""
    from PIL import ImageOps

    with opened(str(path), path) as picture:
        upright = ImageOps.exif_transpose(picture)  # as a camera was held
        if upright.mode.startswith(("I", "F")):  # more than 8 bits
            return np.asarray(upright, np.float64)
        shade, opacity = np.moveaxis(np.asarray(upright.convert("RGBA").convert("LA"), np.float64), -1, 0)
        return shade * opacity / 255
