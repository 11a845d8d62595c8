"""Sounds of 16 bits as codecs take them: levels by the model, and what a level leaves open by chance."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..compression import Damage, Opened, Parcel, Reader, Rival, Unpacking, Writer
from ..compression.beside import bytes_to_mask, bytes_to_table, mask_to_bytes, pack, schema_to_text, table_to_bytes, text_to_schema, unpack
from ..compression.digits import by_chance
from ..compression.rivals import zstd
from ..data import DataError, SoundSchema
from ..data.labels import check_labels
from ..data.recordings import open_sounds
from ..documents import validated
from ..training.atomic import replace
from .sound_files import check_sound_file

SAMPLES = 2**16  # of 16 bits


class SoundParcel(Parcel):
    """Mono files of 16 bits in windows, the last of each filled up with silence.

    A level of the model stands for some of the 65,536 samples; which of them it is, is written by the length of their list.

    Arguments:
        schema: of the run.
        data: files of sounds.

    Raises:
        DataError: they can't be read, or are not of 16 bits.
    """

    def __init__(self, schema: SoundSchema, data: Any):
        files = open_sounds(data, schema.paths, schema.rate)
        pcm = [_samples(path) for path in files.paths]
        counts = [-(-len(sound) // schema.window) for sound in pcm]
        windows = [np.pad(sound, (0, n * schema.window - len(sound))) for sound, n in zip(pcm, counts)]
        self.pcm = np.concatenate([*windows, np.empty(0, np.int16)]).reshape(-1, 1, schema.window)
        self.rate, (self.least, self.last) = schema.rate, _bins(schema)
        self.x = torch.from_numpy(schema.to_levels(self.pcm / (SAMPLES // 2)))
        at = pa.array(np.repeat(np.arange(len(pcm)), counts))
        wanted = [column.name for column in schema.context]
        check_labels(files.name, files.labels, wanted)
        self.labels = files.labels.select(wanted).take(at)
        self.context = schema.encode_context(self.labels) if wanted else None
        self.misfits, self.size, self.notes = np.zeros(len(self.x), bool), sum(sound.nbytes for sound in pcm), []
        self.open_bits = float(np.log2(self.last[self.x.numpy()] + 1.0).sum())
        named = [[path.stem, len(sound)] for path, sound in zip(files.paths, pcm)]
        self.described = {"kind": "sounds", "files": named, "labels": schema_to_text(self.labels.schema)}

    def rivals(self) -> list[Rival]:
        import soundfile

        file = io.BytesIO()
        soundfile.write(file, self.pcm.ravel(), self.rate, format="FLAC", subtype="PCM_16")
        return sorted([Rival("FLAC, one file of all", len(file.getvalue())), zstd(self.pcm.tobytes())], key=lambda rival: rival.size)

    def beside(self, rows: slice, misfits: np.ndarray) -> bytes:
        raw, kept = self.pcm[rows][misfits], ~misfits
        writer = Writer()
        levels = self.x[rows].numpy()[kept].ravel()
        by_chance(writer, self.last[levels], (self.pcm[rows][kept].ravel() - self.least[levels]).astype(np.uint64))
        labels = self.labels.slice(rows.start, rows.stop - rows.start)
        return pack([mask_to_bytes(misfits), table_to_bytes(labels), raw.astype("<i2").tobytes(), writer.to_bytes()])


class SoundUnpacking(Unpacking):
    """Sounds that come back: samples of 16 bits, file by file.

    Arguments:
        schema: of the run.
        described: what the file says of them.

    Raises:
        ValueError: it is no such description.
    """

    def __init__(self, schema: SoundSchema, described: dict[str, Any]):
        self.schema, (self.least, self.last) = schema, _bins(schema)
        self.files = validated(list[tuple[str, int]], described.get("files"), "decompress: files")
        self.labels = text_to_schema(described.get("labels"))

    def open(self, beside: bytes, rows: int) -> Opened:
        mask, labels, raw, rest = unpack(beside, 4)
        misfits = bytes_to_mask(mask, rows)
        if len(raw) != 2 * self.schema.window * misfits.sum():
            raise Damage("what stands beside its stream is missing")
        context = None
        if self.schema.context:
            try:
                context = self.schema.encode_context(bytes_to_table(labels, self.labels, rows).filter(pa.array(~misfits)))
            except DataError as error:
                raise Damage("it has not the labels that the model is given") from error
        return Opened(misfits, context, (np.frombuffer(raw, "<i2").reshape(-1, 1, self.schema.window), rest))

    def close(self, opened: Opened, x: Tensor) -> np.ndarray:
        raw, rest = opened.parts
        levels = x.long().numpy()
        places = by_chance(Reader(rest), self.last[levels.ravel()], None).reshape(levels.shape)
        found = np.empty((len(opened.misfits), 1, self.schema.window), np.int16)
        found[~opened.misfits], found[opened.misfits] = self.least[levels] + places.astype(np.int64), raw
        return found

    def joined(self, blocks: Sequence[tuple[np.ndarray | None, int]]) -> dict[str, np.ndarray]:
        """The samples of each file by its name; what is lost is silent."""
        windows = [np.zeros((rows, 1, self.schema.window), np.int16) if part is None else part for part, rows in blocks]
        samples, at, found = np.concatenate([*windows, np.empty((0, 1, self.schema.window), np.int16)]).ravel(), 0, dict[str, np.ndarray]()
        for name, length in self.files:
            key = name if name not in found else f"{name}_{len(found)}"
            found[key] = samples[at : at + length]
            at += -(-length // self.schema.window) * self.schema.window
        return found

    def write(self, out: Path, data: dict[str, np.ndarray]) -> None:
        import soundfile

        def written(place: Path, sound: np.ndarray, ending: str) -> None:
            with place.open("wb") as file:
                soundfile.write(file, sound, self.schema.rate, subtype="PCM_16", format=ending.removeprefix(".").upper())

        if out.suffix:
            (sound,) = data.values()
            replace(out, lambda place: written(place, sound, out.suffix.lower()))
            return
        out.mkdir(exist_ok=True)
        for name, sound in data.items():
            written(out / f"{Path(name).name}.flac", sound, ".flac")

    def check_out(self, out: Path) -> None:
        check_sound_file("decompress", out)
        if out.suffix.lower() == ".npy" or (out.suffix and len(self.files) != 1):
            raise ValueError(f"decompress: {len(self.files):,} sounds go to a folder (a name without ending), one to .wav or .flac")


def _samples(path: Path) -> np.ndarray:
    """The samples of a file of 16 bits."""
    import soundfile

    if soundfile.info(path).subtype != "PCM_16":
        raise DataError(f"{path}: is not of 16 bits, and other samples would not come back; write it anew as 16 bit WAV or FLAC")
    return soundfile.read(path, dtype="int16")[0]


def _bins(schema: SoundSchema) -> tuple[np.ndarray, np.ndarray]:
    """For each level the least sample of 16 bits that has it, and how many more there are, ``(levels,)`` each."""
    samples = np.arange(-SAMPLES // 2, SAMPLES // 2)
    levels = schema.to_levels(samples / (SAMPLES // 2))
    counts = np.bincount(levels, minlength=schema.levels)
    least = samples[np.searchsorted(levels, np.arange(schema.levels)).clip(max=SAMPLES - 1)]
    return least, np.maximum(counts - 1, 0).astype(np.uint64)
