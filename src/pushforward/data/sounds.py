"""From sound files to windows of levels, split and described."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..words import listing, nearest
from .column import Column
from .errors import DataError
from .kinds import Category
from .load import FEWEST, Data
from .rows import Rows
from .sound_schema import Companding, SoundSchema
from .splits import split_rows

READABLE = (".wav", ".flac", ".ogg", ".aiff", ".aif")
LABELS = ("label", "file")
LOOKED_AT = 2_000  # files of a folder


@dataclass(frozen=True)
class Sounds:
    """Sounds that have been read: ``x`` windows of levels ``(N, 1, window)``, and of each its labels, its file and its first sample."""

    name: str
    x: Tensor
    labels: pa.Table
    starts: np.ndarray
    notes: list[str]


def is_sounds(source: Any) -> bool:
    """Whether a source is a sound file, a list of such, or a folder that holds some."""
    if isinstance(source, list | tuple):
        return bool(source) and all(isinstance(item, str | Path) and is_sounds(item) for item in source)
    if not isinstance(source, str | Path) or "\n" in str(source):
        return False
    path = Path(source)
    if path.is_dir():  # of which a look at the first files tells enough, as it may hold millions of images
        return any(file.suffix.lower() in READABLE for file in islice(path.rglob("*"), LOOKED_AT))
    return path.suffix.lower() in READABLE


def load_sounds(
    source: Any,
    *,
    context: str | Sequence[str] | None = None,
    bits: int = 8,
    window: int | None = None,
    companding: Companding = "mu-law",
    valid: Any = None,
    test: Any = None,
    seed: int = 0,
) -> Data:
    """Sound files as windows of whole numbers, split and described.

    Without ``valid`` and ``test`` windows stay in order, so that neighbours are in one split: the first 80 % train, the next 10 % validate,
    the last 10 % test; of several files the order is drawn by ``seed``. What is given for one of them is taken whole.

    Arguments:
        source: a mono WAV, FLAC, Ogg or AIFF file, a list of such, or a folder of them, whose sub-folders are labels.
        context: "label", the sub-folder; or "file", the file's name without ending.
        bits: of a level, 2 to 16.
        window: samples of an event; a second by default, or less where the sound is short.
        companding: "mu-law" or "linear" steps.
        valid, test: further sources for these splits.
        seed: of the order of several files.

    Raises:
        DataError: what is wrong, where, and the remedy, in one sentence.

    Example::

        >>> data = load_sounds("speech/train.flac", valid="speech/valid.flac", test="speech/test.flac", window=4000)
        >>> data.train.x.shape, data.schema.rate
        (torch.Size([1045, 1, 4000]), 8000)
    """
    if not 2 <= bits <= 16:
        raise DataError(f"load: expected 2 to 16 bits of a sound, got {bits}")
    files = _opened(source)
    rate = files[0].rate
    longest = max(len(file.amplitudes) for file in files)
    if window is not None and not 2 <= window <= longest:
        raise DataError(f"{files[0].path}: expected a window of 2 to {longest:,} samples, as long as the longest file, got {window:,}")
    schema = SoundSchema(window or max(2, min(rate, longest // (2 * FEWEST))), rate, 2**bits, companding)
    order = np.random.default_rng(seed).permutation(len(files)) if len(files) > 1 else [0]
    first = _windows([files[i] for i in order], schema, _name(source))
    names = [context] if isinstance(context, str) else list(context or ())
    schema = replace(schema, context=[_label_column(first, name) for name in names])
    rows = rows_of_sounds(first, schema)
    further = [None if given is None else rows_of_sounds(read_sounds(given, schema), schema) for given in (valid, test)]
    if len(rows) < FEWEST:
        raise DataError(f"{first.name}: {len(rows)} windows of {schema.window:,} samples are too few; choose a shorter window")
    train, held_out, final = split_rows(rows, None, further)
    if train.context is not None:
        measured = [column.measured(train.context[:, i].numpy(), first.name) for i, column in enumerate(schema.context)]
        schema = replace(schema, context=measured)
    sizes = f"{first.name}: {len(train):,} windows to train, {len(held_out):,} to validate, {len(final):,} to test; {_said(schema)}."
    return Data(first.name, schema, train, held_out, final, None, [sizes, *first.notes, *_given(schema, first)])


def read_sounds(source: Any, schema: SoundSchema) -> Sounds:
    """Sounds in the windows of a schema.

    Raises:
        DataError: they can't be read, or have another rate.
    """
    return _windows(_opened(source, schema.rate), schema, _name(source))


def rows_of_sounds(sounds: Sounds, schema: SoundSchema) -> Rows:
    """The rows of a schema.

    Raises:
        DataError: a label is missing, or was not there in training.
    """
    if not schema.context:
        return Rows(sounds.x)
    return Rows(sounds.x, schema.encode_context(sounds.labels.select([column.name for column in schema.context])))


@dataclass(frozen=True)
class _File:
    path: Path
    label: str | None
    amplitudes: np.ndarray
    rate: int


def _files_of(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in READABLE and not path.name.startswith("."))
    return [path for path in found if path.is_file()]


def _opened(source: Any, rate: int | None = None) -> list[_File]:
    """All files of a source, of one rate."""
    items = source if isinstance(source, list | tuple) else [source]
    found: list[tuple[Path, str | None]] = []
    for item in items:
        path = Path(item)
        if path.is_dir():
            inner = _files_of(path)
            found += [(file, file.parent.name if file.parent != path else None) for file in inner]
        elif path.is_file():
            found.append((path, None))
        else:
            raise DataError(f"{path}: there is no such file; check the path")
    if not found:
        raise DataError(f"{source}: no sound files in it; give a folder of {', '.join(READABLE[:3])} files")
    files = [_decoded(path, label) for path, label in found]
    wanted = rate or files[0].rate
    for file in files:
        if file.rate != wanted:
            whose = f"the run's is {wanted:,}" if rate else f"{files[0].path.name} has {wanted:,}"
            raise DataError(f"{file.path}: has {file.rate:,} samples a second, but {whose}; resample it first")
    return files


def _decoded(path: Path, label: str | None) -> _File:
    try:
        import soundfile
    except ImportError:
        raise DataError(f"{path}: sounds need another package; pip install 'pushforward[audio]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            amplitudes, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise DataError(f"{path}: can't be read as sound ({str(error).splitlines()[0]}); give a WAV or FLAC file") from None
    if amplitudes.shape[1] != 1:
        raise DataError(f"{path}: has {amplitudes.shape[1]} channels; mix them down to one first")
    if not np.isfinite(amplitudes).all():
        raise DataError(f"{path}: holds amplitudes that are not finite; write it anew as 16 bit")
    return _File(path, label, amplitudes[:, 0], int(rate))


def _name(source: Any) -> str:
    return Path(source[0]).parent.name if isinstance(source, list | tuple) else Path(source).stem


def _windows(files: Sequence[_File], schema: SoundSchema, name: str) -> Sounds:
    x, starts, labels, short, lost = [], [], [], 0, 0
    for file in files:
        count, rest = divmod(len(file.amplitudes), schema.window)
        short, lost = short + (count == 0), lost + rest
        levels = schema.to_levels(file.amplitudes[: count * schema.window])
        x.append(levels.reshape(count, 1, schema.window))
        starts.append(np.arange(count) * schema.window)
        labels += [(file.label or "", file.path.stem)] * count
    found = np.concatenate(x)
    if not len(found):
        raise DataError(f"{name}: is shorter than a window of {schema.window:,} samples; give longer sounds, or fit with a shorter window")
    table = pa.table({key: [pair[i] for pair in labels] for i, key in enumerate(LABELS)})
    notes = [f"{short} of {len(files)} files are shorter than a window and left out."] if short else []
    notes += [f"{lost:,} samples at ends of files, {lost / schema.rate:.1f} s, fill no window and are left out."] if lost else []
    small = found.astype(np.uint8) if schema.levels <= 256 else found.astype(np.int32)
    return Sounds(name, torch.from_numpy(small), table, np.concatenate(starts), notes)


def _label_column(sounds: Sounds, name: str) -> Column:
    if name not in LABELS:
        hint = nearest(name, LABELS) or f"; sounds have {listing(LABELS)}"
        raise DataError(f"{sounds.name}: there is no label {name!r}{hint}")
    words = sorted(set(sounds.labels[name].to_pylist()))
    if words == [""]:
        raise DataError(f"{sounds.name}: these sounds have no labels; put the files into a folder for each label")
    return Column(name, Category(dtype="string", vocabulary=tuple(words)))


def _said(schema: SoundSchema) -> str:
    each = f"{schema.window:,} samples each, {schema.window / schema.rate:.3g} s at {schema.rate:,} Hz"
    return f"{each}, {schema.levels:,} {schema.companding} levels"


def _given(schema: SoundSchema, sounds: Sounds) -> list[str]:
    if schema.context:
        known = [(column.name, column.vocabulary or ()) for column in schema.context]
        return [f"Given: {name}, {len(words)} labels ({listing(words, 10)})." for name, words in known]
    several = [name for name in LABELS if len(set(sounds.labels[name].to_pylist())) > 1]
    return [f"Labels that are not used: {listing(several)} (fit --context conditions the model on them)."] if several else []
