"""Data as codecs take them: what a kind of data does around the numbers of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .rivals import Rival


@dataclass(frozen=True)
class Opened:
    """What stands beside the stream of a block.

    Attributes:
        misfits: which rows are stored as they are, ``(rows,)``.
        context: raw contexts of the others, if there are contexts.
        parts: what the kind of data kept there.
    """

    misfits: np.ndarray
    context: Tensor | None
    parts: Any


class Parcel(ABC):
    """Rows to be written.

    Attributes:
        x: ``(N, *shape)``, whole numbers or float64; of misfits anything.
        context: raw contexts ``(N, K)``, or None.
        misfits: rows that the model can't give back, ``(N,)``.
        described: what has to be known to read them, as JSON holds it.
        size: bytes of the data in memory.
        notes: what to tell of them.
        open_bits: in which it is written what the numbers leave open, where they do.
    """

    x: Tensor
    context: Tensor | None
    misfits: np.ndarray
    described: dict[str, Any]
    size: int
    notes: list[str]
    open_bits: float = 0.0

    @abstractmethod
    def rivals(self) -> list[Rival]:
        """The size of the same data in other formats, the smallest first."""

    @abstractmethod
    def beside(self, rows: slice, misfits: np.ndarray) -> bytes:
        """What has to stand beside the stream of some rows, of which ``misfits`` ``(rows,)`` are stored as they are."""


class Unpacking(ABC):
    """Rows that are read, by what :attr:`Parcel.described` says."""

    @abstractmethod
    def open(self, beside: bytes, rows: int) -> Opened:
        """What :meth:`Parcel.beside` wrote.

        Raises:
            Damage: it did not write this.
        """

    @abstractmethod
    def close(self, opened: Opened, x: Tensor) -> Any:
        """The data of a block, from the numbers that its stream gave.

        Raises:
            Damage: they don't belong together.
        """

    @abstractmethod
    def joined(self, blocks: Sequence[tuple[Any | None, int]]) -> Any:
        """The data of all blocks; of each its data, or None where it is lost, and its rows."""

    @abstractmethod
    def write(self, out: Path, data: Any) -> None:
        """The data to a file.

        Raises:
            ValueError: they can't be written there.
        """

    @abstractmethod
    def check_out(self, out: Path) -> None:
        """Raise ValueError for a file that can't be written, before anything is read."""
