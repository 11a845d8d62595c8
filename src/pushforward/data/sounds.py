"""From sound files to windows of levels, split and described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .errors import DataError
from .labels import check_labels, label_column, told_labels
from .load import FEWEST, Data
from .recordings import Recordings, is_sounds, open_sounds
from .rows import Rows
from .sound_schema import Companding, SoundSchema
from .splits import split_rows


@dataclass(frozen=True)
class Sounds:
    """Sounds that have been read: ``x`` windows of levels ``(N, 1, window)``, and of each its labels and its first sample."""

    name: str
    x: Tensor
    labels: pa.Table
    starts: np.ndarray
    notes: list[str]


def load_sounds(
    source: Any,
    *,
    sound: str | None = None,
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
        source: a mono WAV, FLAC, Ogg or AIFF file, a list of such, or a folder of them, whose sub-folders are labels; with ``sound`` a
            table of any kind that :func:`load` reads.
        sound: the column of the table that holds the paths of files, relative to the table's folder; the other columns are labels.
        context: labels to condition on: of a folder "label", the sub-folder, or "file", the file's name without ending; of a table
            any other column, words and whole numbers by their values, real numbers as they are.
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
    if sound is not None and is_sounds(source):
        raise DataError(f"load: sound (fit --sound) names a column of a table, and {source} is no table; leave it out")
    files = open_sounds(source, sound)
    longest = max(map(len, files.amplitudes))
    if window is not None and not 2 <= window <= longest:
        raise DataError(f"{files.paths[0]}: expected a window of 2 to {longest:,} samples, as long as the longest file, got {window:,}")
    length = window or max(2, min(files.rate, longest // (2 * FEWEST)))
    schema = SoundSchema(length, files.rate, 2**bits, companding, paths=sound)
    order = np.random.default_rng(seed).permutation(len(files.paths)) if len(files.paths) > 1 else np.zeros(1, int)
    first = _windows(files, schema, order)
    names = [context] if isinstance(context, str) else list(context or ())
    schema = replace(schema, context=[label_column(first.name, first.labels, name) for name in names])
    rows = rows_of_sounds(first, schema)
    further = [None if given is None else rows_of_sounds(read_sounds(given, schema), schema) for given in (valid, test)]
    if len(rows) < FEWEST:
        raise DataError(f"{first.name}: {len(rows)} windows of {schema.window:,} samples are too few; choose a shorter window")
    train, held_out, final = split_rows(rows, None, further)
    if train.context is not None:
        measured = [column.measured(train.context[:, i].numpy(), first.name) for i, column in enumerate(schema.context)]
        schema = replace(schema, context=measured)
    sizes = f"{first.name}: {len(train):,} windows to train, {len(held_out):,} to validate, {len(final):,} to test; {_said(schema)}."
    labels = [name for name in first.labels.column_names if name != sound and len(files.paths) > 1]
    told = told_labels(first.labels.select(labels), schema.context)
    return Data(first.name, schema, train, held_out, final, None, [sizes, *first.notes, *told])


def read_sounds(source: Any, schema: SoundSchema) -> Sounds:
    """Sounds in the windows of a schema.

    Raises:
        DataError: they can't be read, or have another rate.
    """
    files = open_sounds(source, schema.paths, schema.rate)
    return _windows(files, schema, np.arange(len(files.paths)))


def rows_of_sounds(sounds: Sounds, schema: SoundSchema) -> Rows:
    """The rows of a schema.

    Raises:
        DataError: a label is missing, or was not there in training.
    """
    if not schema.context:
        return Rows(sounds.x)
    wanted = [column.name for column in schema.context]
    check_labels(sounds.name, sounds.labels, wanted)
    return Rows(sounds.x, schema.encode_context(sounds.labels.select(wanted)))


def _windows(files: Recordings, schema: SoundSchema, order: np.ndarray) -> Sounds:
    """The windows of the files in this order."""
    x, starts, counts, lost = [], [], [], 0
    for i in order:
        count, rest = divmod(len(files.amplitudes[i]), schema.window)
        lost += rest
        x.append(schema.to_levels(files.amplitudes[i][: count * schema.window]).reshape(count, 1, schema.window))
        starts.append(np.arange(count) * schema.window)
        counts.append(count)
    found = np.concatenate(x)
    if not len(found):
        words = f"is shorter than a window of {schema.window:,} samples; give longer sounds, or fit with a shorter window"
        raise DataError(f"{files.name}: {words}")
    short = counts.count(0)
    notes = [f"{short} of {len(counts)} files are shorter than a window and left out."] if short else []
    notes += [f"{lost:,} samples at ends of files, {lost / schema.rate:.1f} s, fill no window and are left out."] if lost else []
    small = found.astype(np.uint8) if schema.levels <= 256 else found.astype(np.int32)
    return Sounds(files.name, torch.from_numpy(small), files.labels.take(pa.array(np.repeat(order, counts))), np.concatenate(starts), notes)


def _said(schema: SoundSchema) -> str:
    each = f"{schema.window:,} samples each, {schema.window / schema.rate:.3g} s at {schema.rate:,} Hz"
    return f"{each}, {schema.levels:,} {schema.companding} levels"
