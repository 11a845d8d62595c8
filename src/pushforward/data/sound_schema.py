"""What a set of sounds means: their rate and levels, how they are cut, and the labels a model is conditioned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from .column import Column
from .errors import DataError
from .image_schema import MOST, ImageSchema
from .schema import Schema
from .whole_schema import WholeSchema

Companding = Literal["mu-law", "linear"]


@dataclass(frozen=True)
class SoundSchema(WholeSchema):
    """Windows of mono sound that a model describes: whole numbers ``0..levels-1`` of shape ``(1, window)``.

    An amplitude a in [-1, 1] has the level ``floor(levels (c(a) + 1) / 2)``, with ``c(a) = a`` ("linear") or
    ``c(a) = sign(a) log(1 + m |a|) / log(1 + m)``, ``m = levels - 1`` ("mu-law", ITU-T G.711), whose steps are finest where it is quiet.
    A level comes back as the amplitude in the middle of its bin.

    Attributes:
        window: samples of an event.
        rate: samples of a second.
        levels: values of a sample.
        companding: how amplitudes become levels.
        context: columns of labels.
        paths: the column in which a table of such sounds has their files; None for files and folders.

    Example::

        >>> schema = SoundSchema(window=8000, rate=8000)
        >>> schema.to_levels(np.array([-1.0, 0.0, 0.01, 1.0])).tolist()
        [0, 128, 157, 255]
    """

    data: ClassVar[str] = "sounds"
    window: int
    rate: int
    levels: int = 256
    companding: Companding = "mu-law"
    context: list[Column] = field(default_factory=list)
    paths: str | None = None

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """Of an event, ``(1, window)``."""
        return (1, self.window)

    @property
    def dim(self) -> int:
        """Samples of a window."""
        return self.window

    def to_levels(self, amplitudes: np.ndarray) -> np.ndarray:
        """Amplitudes as levels; beyond +-1 they are clipped."""
        c = np.clip(np.asarray(amplitudes, np.float64), -1, 1)
        if self.companding == "mu-law":
            c = np.sign(c) * np.log1p((self.levels - 1) * np.abs(c)) / np.log(self.levels)
        return np.minimum(np.floor((c + 1) * (self.levels / 2)), self.levels - 1).astype(np.int32)

    def to_amplitudes(self, levels: np.ndarray) -> np.ndarray:
        """Levels as amplitudes, float64."""
        c = (2 * np.asarray(levels, np.float64) + 1) / self.levels - 1
        return c if self.companding == "linear" else np.sign(c) * np.expm1(np.abs(c) * np.log(self.levels)) / (self.levels - 1)

    def check(self) -> None:
        if not 1 <= self.window <= MOST or self.rate < 1 or not 2 <= self.levels <= 2**16:
            raise DataError(f"not the description of sounds: {self.levels} levels, {self.window} samples at {self.rate} Hz")


def schema_from_json(value: Mapping[str, Any]) -> Schema | WholeSchema:
    """The schema of a table, of images or of sounds, by what it says of itself.

    Raises:
        DataError: it is none of them.
    """
    kinds: dict[str, type[WholeSchema]] = {kind.data: kind for kind in (ImageSchema, SoundSchema)}
    kind = kinds.get(str(value.get("data"))) if isinstance(value, Mapping) else None
    return Schema.from_json(value) if kind is None else kind.from_json(value)
