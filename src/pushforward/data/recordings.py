"""Sound files: found in a folder, a list or a column of a table, and read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .cells import is_string, strings
from .errors import DataError
from .tables import read, select

READABLE = (".wav", ".flac", ".ogg", ".aiff", ".aif")
LOOKED_AT = 2_000  # files of a folder


@dataclass(frozen=True)
class Recordings:
    """Sound files of one rate: amplitudes of each, and a row of labels for each."""

    name: str
    paths: list[Path]
    amplitudes: list[np.ndarray]
    labels: pa.Table
    rate: int


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


def open_sounds(source: Any, column: str | None = None, rate: int | None = None) -> Recordings:
    """All sound files of a source.

    Labels are the sub-folder and the name of a file; or the columns of the table whose ``column`` holds the paths, which are relative to
    the table's own folder.

    Raises:
        DataError: a file is missing, no mono sound, or of another rate.
    """
    if column is None or is_sounds(source):
        name, paths, labels = _of_files(source)
    else:
        name, paths, labels = _of_table(source, column)
    found = [_decoded(path) for path in paths]
    wanted = rate or found[0][1]
    for path, (_, its) in zip(paths, found):
        if its != wanted:
            whose = f"the run's is {wanted:,}" if rate else f"{paths[0].name} has {wanted:,}"
            raise DataError(f"{path}: has {its:,} samples a second, but {whose}; resample it first")
    return Recordings(name, paths, [amplitudes for amplitudes, _ in found], labels, wanted)


def _of_files(source: Any) -> tuple[str, list[Path], pa.Table]:
    items: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
    paths, folders = list[Path](), list[str]()
    for item in items:
        path = Path(item)
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if p.suffix.lower() in READABLE and not p.name.startswith(".") and p.is_file())
            paths += inner
            folders += [p.parent.name if p.parent != path else "" for p in inner]
        elif path.is_file():
            paths.append(path)
            folders.append("")
        else:
            raise DataError(f"{path}: there is no such file; check the path")
    if not paths:
        raise DataError(f"{source}: no sound files in it; give a folder of {', '.join(READABLE[:3])} files")
    labels = {"label": folders} if any(folders) else {}
    name = Path(source[0]).parent.name if isinstance(source, list | tuple) else Path(source).stem
    return name, paths, pa.table(labels | {"file": [p.stem for p in paths]})


def _of_table(source: Any, column: str) -> tuple[str, list[Path], pa.Table]:
    opened = read(source)
    where, named = opened.name, select(opened, [column])[column]
    if not is_string(named.type) or named.null_count or not len(named):
        cells = f"{named.null_count} empty cells" if named.null_count else f"{len(named)} cells of {named.type}"
        raise DataError(f"{where}: expected paths of sound files in {column!r}, got {cells}; name another column, or drop such rows")
    folder = Path(source).parent if isinstance(source, str | Path) else Path()
    paths = [folder / value for value in strings(named).to_pylist()]
    for row, path in enumerate(paths):
        if not path.is_file():
            raise DataError(f"{where}: {column!r} names {path} in row {row} (the first row is 0), which is not there; check the paths")
    return Path(where).stem, paths, opened.table


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """Amplitudes of a mono file, and its rate."""
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
    return amplitudes[:, 0], int(rate)
