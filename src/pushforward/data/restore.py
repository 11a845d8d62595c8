"""Numbers as Arrow arrays of a named type."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from .cells import EXACT
from .compute import pc


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of that name; the reverse of ``str``.

    Raises:
        ValueError: there is none.
    """
    if name.startswith("timestamp["):
        unit, _, zone = name.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if found := re.fullmatch(r"(decimal\d+)\((\d+), (-?\d+)\)", name):
        return getattr(pa, found[1])(int(found[2]), int(found[3]))
    if found := re.fullmatch(r"dictionary<values=(.+), indices=(u?int\d+), ordered=([01])>", name):
        return pa.dictionary(arrow_type(found[2]), arrow_type(found[1]), found[3] == "1")
    return pa.type_for_alias("date32" if name == "date32[day]" else "date64" if name == "date64[ms]" else name)


def numeric(x: np.ndarray, name: str) -> pa.Array:
    """Numbers ``(N,)`` as the numeric or boolean type of that name, kept within it; what is not finite is null."""
    dtype, missing = arrow_type(name), ~np.isfinite(x)
    x = np.where(missing, 0.0, x)
    if pa.types.is_boolean(dtype):
        return pa.array(x > 0.5, mask=missing)
    if pa.types.is_decimal(dtype):
        most = min(EXACT, 10**dtype.precision - 1)
        return as_decimals(np.clip(np.rint(x * 10.0**dtype.scale), -most, most).astype(np.int64), dtype, missing)
    native = np.dtype(dtype.to_pandas_dtype())
    limits = np.iinfo(native) if native.kind in "iu" else np.finfo(native)
    if native.kind in "iu":
        x = np.clip(x, max(limits.min, -EXACT), min(limits.max, EXACT))
    return pa.array(np.clip(x, limits.min, limits.max).astype(native), dtype, mask=missing)


def as_decimals(unscaled: np.ndarray, dtype: pa.DataType, missing: np.ndarray) -> pa.Array:
    """``unscaled / 10^scale`` as decimals, int64 ``(N,)`` to the last digit."""
    words = np.stack([unscaled, unscaled >> 63], 1)  # two's complement in 128 bits, the low word first
    wide = pa.Array.from_buffers(pa.decimal128(38, dtype.scale), len(unscaled), [None, pa.py_buffer(words.tobytes())])
    return pc.if_else(pa.array(missing), pa.scalar(None, dtype), wide.cast(dtype))
