"""Data through a codec, block by block, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .codec import Codec, checksum
from .container import BlockEntry, Container, Header
from .damage import Damage
from .fingerprint import machine_facts
from .parcel import Parcel, Unpacking

Progress = Callable[[int, int], None]  # rows done, of all


@dataclass
class CodedRows:
    """Blocks as they go to a file.

    Attributes:
        header: of the file.
        blocks: their bytes.
        initial_bits: that the first rows of blocks drew from.
        coding, checking: seconds.
    """

    header: Header
    blocks: list[bytes] = field(default_factory=list)
    initial_bits: int = 0
    coding: float = 0.0
    checking: float = 0.0


@dataclass
class ReadRows:
    """What was read.

    Attributes:
        parts: the data of each block, None where it could not be read, and its rows.
        damages: of each that could not, what is wrong.
        rows: that were read.
        lost: rows of the others.
        seconds: that it took.
    """

    parts: list[tuple[Any | None, int]] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)
    rows: int = 0
    lost: int = 0
    seconds: float = 0.0


def written_by(codec: Codec, parcel: Parcel, model: str, name: str, check: bool = True, progress: Progress | None = None) -> CodedRows:
    """All rows of a parcel, coded; with ``check`` each block is read again, and one that does not come back is stored as it is.

    Arguments:
        codec: of the model.
        parcel: the data.
        model: digest of the model.
        name: of the model.
        check: read each block again.
        progress: told of rows.
    """
    every, fitting = slice(0, len(parcel.x)), parcel.misfits
    x = _kept(parcel.x, every, fitting)
    assert x is not None
    codec.configure(options := codec.options(x, _kept(parcel.context, every, fitting)))
    shape = list(parcel.x.shape[1:])
    header = Header(codec.method, model, name, codec.probe(), machine_facts(), shape, codec.block, options, parcel.described)
    found = CodedRows(header)
    for start in range(0, len(parcel.x), codec.block):
        rows = slice(start, min(start + codec.block, len(parcel.x)))
        misfits = parcel.misfits[rows]
        begun = time.perf_counter()
        x, stream = _coded(codec, parcel, rows, misfits)
        found.coding += time.perf_counter() - begun
        begun = time.perf_counter()
        if stream is None or (check and not _comes_back(codec, stream, x, _kept(parcel.context, rows, misfits))):
            misfits = np.ones(len(misfits), bool)
            x, stream = x[:0], b""
        found.checking += (time.perf_counter() - begun) * check
        found.initial_bits += codec.initial_bits * bool(len(stream))
        beside = parcel.beside(rows, misfits)
        entry = BlockEntry(len(misfits), int(misfits.sum()), len(stream), len(beside), checksum(stream + beside), checksum(_bytes(x)))
        found.blocks.append(stream + beside)
        header.blocks.append(entry)
        if progress is not None:
            progress(rows.stop, len(parcel.x))
    return found


def restored_by(codec: Codec, container: Container, unpacking: Unpacking, progress: Progress | None = None) -> ReadRows:
    """The rows of a file's blocks, one by one; what is wrong with a block loses no other.

    Raises:
        ValueError: this machine computes other probabilities than the one that wrote the file.
    """
    header, found, begun = container.header, ReadRows(damages=list(container.damages)), time.perf_counter()
    codec.configure(header.codec)
    if codec.probe() != header.probe:
        now = machine_facts()
        other = [f"{key} {value} there, {now.get(key, 'unknown')} here" for key, value in header.facts.items() if now.get(key) != value]
        raise ValueError(
            f"{container.path}: this machine computes other probabilities than the one that wrote the file "
            f"({'; '.join(other) or 'of the same versions'}), so it can't be read here; use a machine and versions like those"
        )
    done = 0
    for i, entry, content in container.blocks():
        first, done = done, done + entry.rows
        try:
            if content is None:
                raise Damage("it is altered or cut off")
            stream, beside = content[: entry.stream], content[entry.stream :]
            opened = unpacking.open(beside, entry.rows)
            kept = int(entry.rows - opened.misfits.sum())
            x = codec.decode(stream, kept, opened.context)
            if checksum(_bytes(x)) != entry.decoded:
                raise Damage("its rows come out otherwise than they went in")
            found.parts.append((unpacking.close(opened, x), entry.rows))
            found.rows += entry.rows
        except Damage as error:
            found.damages.append(f"block {i} of {len(header.blocks)} (rows {first:,} to {done - 1:,}) is damaged: {error}")
            found.parts.append((None, entry.rows))
            found.lost += entry.rows
        if progress is not None:
            progress(done, header.rows)
    return replace(found, seconds=time.perf_counter() - begun)


def _coded(codec: Codec, parcel: Parcel, rows: slice, misfits: np.ndarray) -> tuple[Tensor, bytes | None]:
    """The numbers of the rows that are no misfits, and their stream; None where they have none."""
    kept = _kept(parcel.x, rows, misfits)
    assert kept is not None
    x = kept.double()
    try:
        return x, codec.encode(x, _kept(parcel.context, rows, misfits)) if len(x) else b""
    except Damage:
        return x, None


def _kept(part: Tensor | None, rows: slice, misfits: np.ndarray) -> Tensor | None:
    return None if part is None else part[rows][torch.from_numpy(~misfits)]


def _comes_back(codec: Codec, stream: bytes, x: Tensor, context: Tensor | None) -> bool:
    try:
        return checksum(_bytes(codec.decode(stream, len(x), context))) == checksum(_bytes(x))
    except Damage:
        return False


def _bytes(x: Tensor) -> bytes:
    """Numbers as bytes, all gaps and zeros alike."""
    return (torch.where(x.isnan(), torch.nan, x) + 0.0).double().contiguous().numpy().astype("<f8").tobytes()
