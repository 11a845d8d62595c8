"""What stands beside the streams: columns that the model does not describe, and rows that it can't."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..data.cells import unpacked
from .container import LARGEST_BLOCK
from .damage import Damage

ZSTD_LEVEL = 19  # of zstd


def pack(parts: Sequence[bytes]) -> bytes:
    """Byte strings as one, each compressed by zstd where that makes it shorter."""
    found = []
    for part in parts:
        small = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(part, asbytes=True) if part else b""
        kept = small if len(small) < len(part) else part
        found.append(_number(len(part)) + _number(len(kept)) + kept)
    return b"".join(found) if any(parts) else b""


def unpack(data: bytes, count: int) -> list[bytes]:
    """What :func:`pack` was given.

    Raises:
        Damage: it did not write this.
    """
    if not data:
        return [b""] * count
    found, at = [], 0
    for _ in range(count):
        length, size = (int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(2))
        kept = data[at + 8 : at + 8 + size]
        at += 8 + size
        if len(kept) < size or size > length or length > LARGEST_BLOCK:
            raise Damage("what stands beside its stream is cut off")
        try:
            found.append(kept if size == length else pa.decompress(kept, length, codec="zstd", asbytes=True))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Damage("what stands beside its stream can't be unpacked") from error
    if at != len(data):
        raise Damage("what stands beside its stream is too long")
    return found


def table_to_bytes(table: pa.Table) -> bytes:
    """A table as the body of Arrow's stream, without its schema with dictionaries spelled out; nothing of one without columns or rows."""
    if not table.num_columns or not table.num_rows:
        return b""
    plain = pa.table({name: unpacked(table[name]) for name in table.column_names}).combine_chunks()
    return plain.to_batches()[0].serialize().to_pybytes()


def bytes_to_table(data: bytes, types: pa.Schema, rows: int) -> pa.Table:
    """The table of :func:`table_to_bytes`.

    Raises:
        Damage: it is no such table, or has another number of rows.
    """
    if not len(types) or not rows:
        return types.empty_table()
    try:
        plain = pa.schema([field.with_type(field.type.value_type if pa.types.is_dictionary(field.type) else field.type) for field in types])
        table = pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(data), plain)])
        table.validate(full=True)
        found = [as_type(table[field.name], field.type) for field in types]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damage("what stands beside its stream is no table of these columns") from error
    if table.num_rows != rows:
        raise Damage(f"what stands beside its stream has {table.num_rows:,} rows instead of {rows:,}")
    return pa.table(found, schema=types)


def as_type(values: pa.ChunkedArray, dtype: pa.DataType) -> pa.ChunkedArray:
    """Values as another type; an Arrow error if one of them changes."""
    if pa.types.is_dictionary(dtype):
        return unpacked(values).cast(dtype.value_type).dictionary_encode().cast(dtype)
    return unpacked(values).cast(dtype)


def schema_to_text(types: pa.Schema) -> str:
    """An Arrow schema, with all its metadata, as text."""
    return base64.b64encode(types.serialize().to_pybytes()).decode()


def text_to_schema(text: object) -> pa.Schema:
    """The schema of :func:`schema_to_text`.

    Raises:
        ValueError: it is none.
    """
    try:
        found = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(str(text), validate=True)))
        if len(set(found.names)) < len(found.names):
            raise ValueError("two columns have one name")
        return found
    except (pa.ArrowException, ValueError, OSError) as error:
        raise ValueError("decompress: the file does not say which columns its table has; make it again") from error


def mask_to_bytes(mask: np.ndarray) -> bytes:
    return np.packbits(mask).tobytes() if mask.any() else b""


def bytes_to_mask(data: bytes, rows: int) -> np.ndarray:
    """The mask ``(rows,)``.

    Raises:
        Damage: it is of another length.
    """
    if not data:
        return np.zeros(rows, bool)
    if len(data) != -(-rows // 8):
        raise Damage("what stands beside its stream has another number of rows")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=rows).astype(bool)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")
