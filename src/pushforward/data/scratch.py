"""Numbers that are too many for memory, in files on disk without names, whose space is free again when nobody uses them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from .errors import DataError, memory

HELD = 2**31  # bytes of pixels that are held in memory at most


def held() -> int:
    """Bytes of pixels that are held in memory, a quarter of it at most; more are on disk."""
    return min(HELD, memory() // 4)


def scratch(size: int, remedy: str = "") -> IO[bytes]:
    """A file in the folder of temporary files.

    Raises:
        DataError: there is no room for so many bytes.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        has = f"and {folder} has {free / 1e9:.1f} GB left; set TMPDIR to a folder with more room{remedy}"
        raise DataError(f"load: the encoded rows take {size / 1e9:.1f} GB, {has}")
    return tempfile.TemporaryFile(dir=folder)


def room(shape: Sequence[int], dtype: Any, remedy: str = "") -> np.ndarray:
    """An array to be written: in memory, or in a file if it is of more bytes than are :func:`held`.

    Raises:
        DataError: there is no room on the disk.
    """
    size = int(np.prod([int(n) for n in shape], dtype=object)) * np.dtype(dtype).itemsize
    if size <= held():
        return np.empty(shape, dtype)
    with scratch(size, remedy) as file:
        return np.memmap(file, dtype, "w+", shape=tuple(shape))


def in_a_file(x: np.ndarray | None) -> bool:
    """Whether the numbers of an array are those of a file that is mapped."""
    while x is not None and not isinstance(x, np.memmap):
        x = x.base if isinstance(x.base, np.ndarray) else None
    return x is not None
