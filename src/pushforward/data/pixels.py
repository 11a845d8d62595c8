"""Encoded images as whole numbers: decoded, converted, cropped, resized."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..words import listing
from .errors import DataError, reading
from .scratch import held, in_a_file, room

Encoded = tuple[str, bytes | Path]  # what to call it in an error; the file's bytes, or the file

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # of pixels; Pillow starts Ghostscript for others, whatever they are called

SMALLER = ", or give a smaller size, as size=32 (fit --size 32)"
COPIED = 1024  # images that are copied together

GRAY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
TURNED = 0x0112  # the EXIF tag of a photograph's orientation


@dataclass(frozen=True)
class Framing:
    """How images are read.

    Attributes:
        size: (H, W) to resize to; None leaves them as they are.
        crop: "center", "none" or the side of a centred square, as :class:`ImageSchema` has it.
        channels: 1 or 3; None for 3 if any image has colours.
    """

    size: tuple[int, int] | None = None
    crop: str | int = "center"
    channels: int | None = None

    def check(self) -> None:
        """Raise DataError for a size or a crop that is none."""
        if self.size is not None and min(self.size) < 1:
            raise DataError(f"load: expected a size of at least 1 pixel, got {self.size}")
        if self.crop not in ("center", "none") and (not isinstance(self.crop, int) or isinstance(self.crop, bool) or self.crop < 1):
            raise DataError(f"load: crop must be 'center', 'none' or a number of pixels, got {self.crop!r}")

    @property
    def changes(self) -> bool:
        """Whether images are cut or resized."""
        return self.size is not None or isinstance(self.crop, int)


def decode(name: str, encoded: Callable[[], Iterable[Encoded]], framing: Framing) -> tuple[np.ndarray, list[str]]:
    """Images ``(N, C, H, W)`` uint8, and what happened to them in sentences.

    ``encoded`` is gone through twice: headers first, which say how much memory is needed. Resizing is by the mean of boxes where the
    sides shrink by a whole factor, else by Lanczos' kernel. Cost: some 20 microseconds and more for each image, by its size.

    Raises:
        DataError: an image can't be read, or they differ in size and ``framing`` has none.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    moving = 0
    for where, item in encoded():
        with opened(where, item) as image:
            sizes[_upright_size(image)] += 1
            modes[image.mode] += 1
            moving += getattr(image, "is_animated", False) and image.format != "MPO"  # a photograph with a preview
    count = sum(sizes.values())
    if not count:
        raise DataError(f"{name}: there are no images; give at least one")
    height, width = _target(name, sizes, framing)
    colours = {mode for mode in modes if mode not in GRAY}
    channels = framing.channels or (3 if colours else 1)
    x = room((count, channels, height, width), np.uint8, SMALLER)
    seen_through = 0
    for i, (where, item) in enumerate(encoded()):
        with opened(where, item) as image:
            plain, mixed = _plain(where, image, channels)
            seen_through += mixed
            pixels = np.asarray(_fit(where, plain, framing))
        x[i] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return x, _notes(modes, colours, channels, seen_through, moving)


def refit(name: str, x: np.ndarray, framing: Framing) -> np.ndarray:
    """Images that are arrays already, ``(N, C, H, W)`` uint8, converted, cut and resized likewise."""
    channels = framing.channels or x.shape[1]
    if not framing.changes and channels == x.shape[1]:
        if x.nbytes <= held() or not in_a_file(x):
            return np.ascontiguousarray(x)
        out = room(x.shape, np.uint8)
        for start in range(0, len(x), COPIED):
            out[start : start + COPIED] = x[start : start + COPIED]
        return out
    if x.shape[1] not in (1, 3):
        raise DataError(f"{name}: images of {x.shape[1]} channels can't be resized or turned to gray; leave size, crop and gray out")
    height, width = _target(name, Counter({(x.shape[3], x.shape[2]): len(x)}), framing)
    out = room((len(x), channels, height, width), np.uint8, SMALLER)
    for i, image in enumerate(x):
        picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
        pixels = np.asarray(_fit(f"{name}: image {i}", picture.convert("L" if channels == 1 else "RGB"), framing))
        out[i] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    return out


@contextmanager
def opened(where: str, item: bytes | Path) -> Iterator[Image.Image]:
    """An encoded image while it is read: the one door through which images enter; only formats meant for pixels pass.

    Raises:
        DataError: it is of another format, or damaged, or made to fill the memory.
    """
    with reading(f"{where}:", "an image", "replace it or leave it out"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is large or odd; what is too much is refused
        try:
            image = Image.open(io.BytesIO(item) if isinstance(item, bytes) else item, formats=FORMATS)
        except UnidentifiedImageError:
            raise DataError(f"{where}: can't be read as an image (of no known format); use one of {listing(FORMATS)}") from None
        with image:
            yield image


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the photographer held the camera."""
    turned = image.format == "JPEG" and image.getexif().get(TURNED, 1) >= 5
    return (image.height, image.width) if turned else image.size


def _target(name: str, sizes: Counter[tuple[int, int]], framing: Framing) -> tuple[int, int]:
    """Height and width of what is read."""
    if framing.size is not None:
        return framing.size
    if isinstance(framing.crop, int):
        return framing.crop, framing.crop
    if len(sizes) > 1:
        found = listing((f"{width} x {height} ({count:,})" for (width, height), count in sizes.most_common()), 4)
        raise DataError(f"{name}: its images differ in size: {found}; give the size to bring them to, as size=32 (fit --size 32)")
    ((width, height),) = sizes
    return height, width


def _plain(where: str, image: Image.Image, channels: int) -> tuple[Image.Image, bool]:
    """The image as L or RGB of 8 bits, upright; and whether it was see-through and has been laid on white."""
    if image.format == "JPEG" and image.getexif().get(TURNED, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode == "I":
        raise DataError(f"{where}: its pixels are not of 8 bits (mode {image.mode}); convert it to an 8-bit image")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    mixed = False
    if image.mode in ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:  # else the fourth channel says nothing
            image, mixed = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image), True
    mode = "L" if channels == 1 else "RGB"
    return (image if image.mode == mode else image.convert(mode)), mixed


def _fit(where: str, image: Image.Image, framing: Framing) -> Image.Image:
    """Cut, then resized."""
    width, height = image.size
    if isinstance(framing.crop, int):
        side = framing.crop
        if side > min(width, height):
            raise DataError(f"{where}: is {width} x {height}, too small to cut {side} x {side} pixels out; give a smaller crop")
        image = _centre(image, side, side)
    elif framing.size is not None and framing.crop == "center":
        share = min(width / framing.size[1], height / framing.size[0])
        image = _centre(image, max(1, round(share * framing.size[1])), max(1, round(share * framing.size[0])))
    if framing.size is None or image.size == framing.size[::-1]:
        return image
    whole = image.width % framing.size[1] == 0 and image.height % framing.size[0] == 0
    return image.resize(framing.size[::-1], Image.Resampling.BOX if whole else Image.Resampling.LANCZOS)


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _notes(modes: Counter[str], colours: set[str], channels: int, seen_through: int, moving: int) -> list[str]:
    total = sum(modes.values())
    gray = total - sum(modes[mode] for mode in colours)
    notes = []
    if channels == 3 and gray:
        notes.append(f"{gray:,} of {total:,} images are gray and were given three equal channels.")
    if channels == 1 and colours:
        notes.append(f"{total - gray:,} of {total:,} images have colours and were turned to gray.")
    if any(mode.startswith("I;16") for mode in modes):
        notes.append("Images of 16 bits were cut to their upper 8.")
    if moving:
        notes.append(f"{moving:,} of {total:,} images have several frames, of which the first was taken.")
    if seen_through:
        notes.append(f"{seen_through:,} of {total:,} images are partly transparent and were laid on white.")
    return notes
