"""Sheets of images in which each pixel is exact: no margins, no words, and no plotting library."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image


def contact_sheet(images: np.ndarray, levels: int, path: str | Path, *, columns: int = 0, scale: int = 0) -> Path:
    """Write images ``(n, C, H, W)`` as one PNG without margins or words, each pixel exact: ``v`` becomes ``255 v / (levels - 1)``, rounded.

    ``columns`` images stand in a row, 0 for a square; empty places are white. Each pixel becomes ``scale`` by ``scale`` pixels; 0 takes
    what brings the longer side near 64.
    """
    pixels = to_bytes(images, levels)
    n, channels, height, width = pixels.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    lines, scale = -(-n // columns), scale or max(1, round(64 / max(height, width)))
    sheet = np.full((channels, lines * height, columns * width), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * height, i % columns * width
        sheet[:, top : top + height, left : left + width] = image
    sheet = sheet.repeat(scale, 1).repeat(scale, 2)
    path = Path(path)
    Image.fromarray(sheet.transpose(1, 2, 0) if channels == 3 else sheet[0]).save(path, format="PNG")
    return path


def to_bytes(images: np.ndarray, levels: int) -> np.ndarray:
    """Whole numbers ``0..levels-1`` spread over ``0..255``, uint8: ``round(255 v / (levels - 1))``; 8 bits stay what they are."""
    if not len(images) or images.ndim != 4:
        raise ValueError(f"pictures: expected at least one image (n, C, H, W), got {images.shape}")
    values = np.clip(np.nan_to_num(np.asarray(images, np.float64)), 0, levels - 1)
    return np.rint(values * (255 / max(1, levels - 1))).astype(np.uint8)
