"""What the recipes of sounds share: the shape of a signal, and levels as amplitudes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core import Transform
from ..transforms import Dequantize, Standardize


def signal(shape: Sequence[int]) -> int:
    """The channels of a signal's shape ``(C, T)``."""
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"this model takes signals, shape (C, T), got {tuple(shape)}; images and tables have models of their own")
    return shape[0]


def amplitudes(levels: int) -> list[Transform]:
    """Whole numbers ``0..levels-1`` with uniform noise within their bins, as real numbers in (-1, 1); back by rounding to a level."""
    return [Dequantize(levels), Standardize(levels / 2, levels / 2)]


def finest(levels: int) -> float:
    """A bound of log-scales of amplitudes, which lets a scale become as small as a bin of so many levels."""
    return 1.0 + math.log(levels)
