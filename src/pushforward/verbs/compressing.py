"""Data as small files by a fitted run, and back."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..compression import Codec, CodingMethod, Container, Rival, codec_of, digest_of_model, restored_by, write_container, written_by
from ..compression.row_codec import RowCodec
from ..data import Rows
from ..data.errors import check_memory
from ..evaluation import log_likelihood
from ..subjects import Subject, subject_of
from ..training import Run
from ..words import tell
from .runs import load


@dataclass(frozen=True)
class Compressed:
    """A file that ``compress`` wrote.

    Attributes:
        path: the file.
        rows: in it.
        misfits: of these the rows that are stored as they are.
        size: bytes of the file.
        data: bytes of the data in memory.
        dim: numbers of a row.
        bits: of the file, for each number of a row.
        model_bits: the same by the model's likelihood, with the resolution of real columns; of rows that are no misfits.
        gap: of their streams above that.
        beside: the share of the file that is header, labels, other columns and misfits.
        method: of coding.
        kind: of the model's likelihood, "exact" or "bound".
        initial: the part of the gap that is bits which the first rows of blocks drew from and nobody gets back.
        coding, checking: seconds; the latter 0 where blocks were not read again.
        rivals: the size of the same data in other formats.
    """

    path: Path
    rows: int
    misfits: int
    size: int
    data: int
    dim: int
    bits: float
    model_bits: float
    gap: float
    beside: float
    method: str
    kind: str
    initial: float
    coding: float
    checking: float
    rivals: list[Rival] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As what JSON can hold."""
        found = asdict(self) | {"path": str(self.path), "rivals": [asdict(rival) for rival in self.rivals]}
        return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in found.items()}

    def lines(self) -> list[str]:
        """What to tell of it."""
        speed = [f"{what} {self.data / 1e6 / max(seconds, 1e-9):.3f} MB/s" for what, seconds in self._times() if seconds]
        kept = f"; {self.misfits:,} that the model can't give back stored as they are" if self.misfits else ""
        bound = ", a bound" * (self.kind == "bound")
        initial = f" ({self.initial:.4f} initial bits)" if self.initial else ""
        return [
            f"{self.rows:,} rows in {self.path}{kept}: {self.size:,} bytes, {self.bits:.4f} bits per dim",
            f"The model's own bits per dim are {self.model_bits:.4f}{bound}, the streams' {self.gap:+.4f} above{initial}, by {self.method};"
            f" {100 * self.beside:.1f} % of the file is header and what the model does not describe",
            f"{', '.join(speed)}, of {self.data:,} bytes in memory",
            *(f"{rival.name}: {rival.size:,} bytes, {rival.size / max(self.size, 1):.2f} times as many" for rival in self.rivals),
        ]

    def _times(self) -> list[tuple[str, float]]:
        return [("coding", self.coding), ("decoding", self.checking)]


@dataclass(frozen=True)
class Decompressed:
    """What ``decompress`` read.

    Attributes:
        data: a table; images ``x`` with ``labels``; or samples of 16 bits by the name of a sound.
        rows: that are there.
        lost: that could not be read.
        damages: what is wrong with the file, block by block.
        seconds: of decoding.
    """

    data: Any
    rows: int
    lost: int
    damages: list[str]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """All but the data, as what JSON can hold."""
        return {key: getattr(self, key) for key in ("rows", "lost", "damages", "seconds")}


def compress(
    run: Run | str | Path,
    data: Any,
    out: str | Path,
    *,
    method: CodingMethod = "auto",
    check: bool = True,
    block: int | None = None,
    progress: bool = False,
) -> Compressed:
    """Data as a file from which :func:`decompress` makes them again to the bit, by the probabilities of a fitted run.

    A row costs ``-log2 p(row)`` bits, or its bound: the better the model, the smaller the file. Range coding, in the order in which the
    model draws its samples: pixel models and ``idf`` of images, ``wavenet`` of sounds of 16 bits, ``any_order`` of tables. Bits-back
    coding: ``vae``, ``vlae`` and ``iaf_vae`` of images. Local bits-back coding: ``glow``, ``real_nvp_image`` and ``flow_pp`` of images.
    Rows stand in blocks that are read alone, each with checksums. What comes back: images with their labels; sounds of 16 bits; tables
    with names, types, order and gaps.
    Columns that the run does not describe, and rows that it gives no probability or not back to the bit, are stored as they are and
    counted.

    The model is computed in float64, in one thread, by plain PyTorch. The file can be read by the same run on machines that compute the
    same probabilities, which a probe in the file tells. Cost: that of drawing as many samples, of bits-back coding a
    pass of the nets, and as much again to check.

    Sources: Range encoding, Martin, 1979; asymmetric numeral systems, Duda, 2013, arXiv:1311.2540, both by constriction (Bamler, 2022,
    arXiv:2201.01741); bits-back coding: Townsend, Bird, Barber, 2019, arXiv:1901.04866; local: Ho, Lohn, Abbeel, 2019, arXiv:1905.08500.

    Arguments:
        run: a run or its directory.
        data: of the run's kind: a path, an array, a table.
        out: the file to write.
        method: "auto", the one that the model's likelihood asks for; "range", "bits-back" and "local" refuse a model of another.
        check: read each block again before it is written; one that does not come back is stored as it is.
        block: rows of a block; 256 images or sounds (64 of ``idf``, 4,096 for bits-back), 4,096 rows of a table otherwise.
        progress: tell of rows on stderr.

    Raises:
        ValueError: the model has no codec, or none of that method; the data don't fit the run or would not come back; or the
            file can't be written.

    Example::

        >>> compress("runs/mnist-pixel_cnn", "mnist/test.parquet", "test.pf").gap < 0.003
        True
    """
    run, place = load(run), Path(out)
    if not place.parent.is_dir():
        raise ValueError(f"compress: there is no folder {place.parent} to write {place.name} to; make it first")
    _check_other("compress", data, place)
    if block is not None and not 1 <= block <= 2**20:
        raise ValueError(f"compress: expected a block of 1 to {2**20:,} rows, got {block:,}")
    subject, name = subject_of(run), run.config["model"]["name"]
    codec = codec_of(run.flow, name, block, method)
    parcel = subject.parcel(run, data)
    if progress:
        for note in parcel.notes:
            tell(note)
    if block is None:  # fewer rows are not filled up to many
        codec.block = min(codec.block, max(1, len(parcel.x)))
    written = written_by(codec, parcel, _digest(run, subject), name, check, _told("compress") if progress else None)
    size = write_container(place, written.header, written.blocks)
    kept = torch.from_numpy(~parcel.misfits)
    some = Rows(parcel.x[kept], None if parcel.context is None else parcel.context[kept])
    bits = _own_bits(run, codec, some) + parcel.open_bits
    dim, header = math.prod(parcel.x.shape[1:]), written.header
    streams = sum(entry.stream for entry in header.blocks)
    open_bytes = parcel.open_bits / 8  # which stand beside the streams
    numbers, fitting = max(1, len(parcel.x) * dim), max(1, len(some) * dim)
    return Compressed(
        path=place,
        rows=len(parcel.x),
        misfits=header.misfits,
        size=size,
        data=parcel.size,
        dim=dim,
        bits=8 * size / numbers,
        model_bits=bits / fitting,
        gap=(8 * (streams + open_bytes) - bits) / fitting,
        beside=max(0.0, 1 - (streams + open_bytes) / size),
        method=codec.method,
        kind=run.flow.kind,
        initial=written.initial_bits / fitting,
        coding=written.coding,
        checking=written.checking,
        rivals=parcel.rivals(),
    )


def decompress(
    run: Run | str | Path, file: str | Path, out: str | Path | None = None, *, salvage: bool = False, progress: bool = False
) -> Decompressed:
    """The data of a file that :func:`compress` wrote with the same run.

    Arguments:
        run: the run, or its directory.
        file: the compressed file.
        out: where to write the data as well: tables .parquet, .csv, .arrow, ...; images .npy, .npz, .parquet or a folder of PNG files; a
            sound .wav or .flac, several a folder.
        salvage: read what can be read of a damaged file, and leave out blocks that can't (sounds are silent there).
        progress: tell of rows on stderr.

    Raises:
        ValueError: the file is damaged (blocks are named), or of another run; this machine computes other probabilities; ``out`` can't be
            written.

    Example::

        >>> decompress("runs/mnist-pixel_cnn", "test.pf", "test.npy").rows
        10000
    """
    run, path = load(run), Path(file)
    if not path.is_file():
        raise ValueError(f"decompress: there is no file {path}; check the path")
    _check_other("decompress", path, out)
    subject, name = subject_of(run), run.config["model"]["name"]
    container = Container(path, salvage)
    header = container.header
    if header.model != _digest(run, subject):
        raise ValueError(
            f"{path}: was made with another model ({header.name}) than {run.path} ({name}); give the run that it was made with"
        )
    numbers = math.prod(run.flow.shape)
    check_memory(f"{path}: {max(header.rows, header.block):,} rows", 8 * numbers * max(header.rows, header.block), "use a larger machine")
    codec = codec_of(run.flow, name, header.block)
    if header.method != codec.method:
        raise ValueError(
            f"{path}: was made by {header.method}, and this release codes {name} by {codec.method}; use the release that made it"
        )
    unpacking = subject.unpacking(header.data)
    if out is not None:
        unpacking.check_out(Path(out))
    found = restored_by(codec, container, unpacking, _told("decompress") if progress else None)
    if found.damages and not salvage:
        more = f" and {len(found.damages) - 3} more" if len(found.damages) > 3 else ""
        left = f"{found.rows:,} of {header.rows:,} rows can be read: use --salvage (salvage=True) for those"
        raise ValueError(f"{path}: {'; '.join(found.damages[:3])}{more}; {left}")
    data = unpacking.joined(found.parts)
    if out is not None:
        unpacking.write(Path(out), data)
    return Decompressed(data, found.rows, found.lost, found.damages, found.seconds)


def _check_other(who: str, source: Any, out: str | Path | None) -> None:
    """Raise ValueError if a file is to be written over the one that is read."""
    if isinstance(source, str | Path) and out is not None and Path(out).exists() and Path(out).resolve() == Path(source).resolve():
        raise ValueError(f"{who}: {out} is the file that is read; write to another one")


def _digest(run: Run, subject: Subject) -> str:
    return digest_of_model(run.flow, run.config["model"], subject.schema.to_json())


def _own_bits(run: Run, codec: Codec, rows: Rows) -> float:
    """``-log2 p`` of all rows by the run, with the resolution of what has densities."""
    if not len(rows):
        return 0.0
    nats = log_likelihood(run.flow, rows)
    if isinstance(codec, RowCodec):
        nats = nats + codec.log_widths(rows.x)
    bits = -float(nats.sum()) / math.log(2)
    return bits + codec.presence_bits(rows.x) if isinstance(codec, RowCodec) else bits


def _told(verb: str) -> Any:
    """What tells of rows on stderr, every few seconds."""
    last = [time.monotonic()]

    def progress(done: int, rows: int) -> None:
        if time.monotonic() - last[0] > 2 or done == rows:
            last[0] = time.monotonic()
            print(f"\r{verb}: {done:,} of {rows:,} rows", end="\n" if done == rows else "", file=sys.stderr, flush=True)

    return progress
