"""Columns that name the rows in place of describing them: no kind of data, and left out unless somebody asks for them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ..cells import EXACT, NUMBER, Cells, is_string, padded
from ..compute import pc
from ..times import time_format

NAMES = ("", "Unnamed: 0", "__index_level_0__")  # of a pandas index that was written to a file
UNIQUE = 0.5  # distinct values as a share of the rows, from which text is a name and no category
FEWEST = 20  # distinct values below which text may be categories all the same


def identifies(cells: Cells) -> bool:
    """Whether cells number the rows, or name each: 0..N-1 or 1..N, pandas' index, nearly unique text, unique integers beyond 2**53."""
    values, rows = cells.plain, len(cells)
    if pa.types.is_integer(cells.dtype):
        whole = cells.whole
        if whole is None:
            return len(pc.unique(values)) == rows
        unique = len(cells.distinct[0]) == rows > 1
        counted = unique and whole[0] in (0, 1) and bool((np.diff(whole) == 1).all())
        return counted or (unique and (cells.name in NAMES or int(np.abs(whole).max()) > EXACT))
    if is_string(cells.dtype):
        distinct = len(pc.unique(values))
        names = distinct > max(FEWEST, UNIQUE * rows)
        words = (pc.mean(pc.match_substring_regex(values, NUMBER).cast(pa.float64())).as_py() or 0) <= 0.5
        return names and (words or padded(values) is not None) and time_format(values) is None
    return False
