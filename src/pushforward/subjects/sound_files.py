"""Sounds as files: samples written, windows scored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .. import plots
from ..data import SoundSchema, read_sounds
from ..data.context import context_rows
from ..data.sounds import rows_of_sounds
from ..evaluation import log_likelihood
from ..latent import sample as draw
from ..training.atomic import replace
from ..words import nearest
from .files import write_tables
from .scored import Scored, rank

if TYPE_CHECKING:
    from ..training import Run

SOUND_ENDINGS = (".wav", ".flac", ".npy")
SILENCE = 0.25  # seconds between sounds in one file


def sample_sounds(
    run: Run, schema: SoundSchema, n: int, out: str | Path | None, *, context: Any, temperature: float, seed: int
) -> np.ndarray:
    """Levels ``(N, 1, window)``, for each context ``n`` sounds.

    Files: ``.wav`` and ``.flac`` (one after the other, a quarter of a second apart), ``.npy`` (the levels), or a folder of WAV files.

    Raises:
        ValueError: a context is missing or unknown, a model without a latent is to be scaled, or a file can't be written.
    """
    if out is not None:
        check_sound_file("sample", Path(out))
    given = context_rows(schema, context)
    x = draw(run.flow, n, temperature, given, seed=seed)
    x = x if given is None else x.transpose(0, 1).flatten(0, 1)
    levels = x.round().clamp(0, schema.levels - 1).cpu().numpy().astype(np.int32)
    if out is not None:
        _write_sounds(Path(out), levels, schema)
    return levels


def score_sounds(
    run: Run, schema: SoundSchema, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, **options: int
) -> Scored:
    """A table with a row for each window: its file, where it begins, likelihood; and a picture of the most and the least likely.

    Raises:
        ValueError: the sounds don't fit the run, or a file that can't be written.
    """
    sounds = read_sounds(data, schema)
    rows = rows_of_sounds(sounds, schema)
    values = log_likelihood(run.flow, rows, **options).numpy()
    percentile, unusual = rank(values, quantiles)
    bits = -values / (schema.dim * math.log(2))
    table = sounds.labels.append_column("seconds", pa.array(sounds.starts / schema.rate))
    for name, column in {"log_likelihood": values, "bits_per_dim": bits, "percentile": percentile, "unusual": unusual}.items():
        table = table.append_column(name, pa.array(column))
    if out is not None:
        write_tables(out, [table])
    picture = out.with_suffix(".png") if figure is None and out is not None else figure
    if picture is not None:
        order = np.argsort(values)
        some = [int(order[-1]), int(order[0])]
        words = [f"{name} likely, {bits[i]:.3f} bits per sample" for name, i in zip(("most", "least"), some)]
        plots.save(plots.waveforms(schema.to_amplitudes(sounds.x[some, 0].numpy()), schema.rate, words, (0, 1)), picture)
    mean = float(values.mean())
    kept = table if out is None else None
    return Scored(kept, len(rows), 0, int(unusual.sum()), mean, run.flow.kind, -mean / (schema.dim * math.log(2)), picture)


def check_sound_file(who: str, path: Path) -> None:
    """Raise ValueError unless sounds can be written there: a file of a known ending in a folder that is there, or a new or empty folder."""
    if path.suffix and path.suffix.lower() not in SOUND_ENDINGS:
        hint = nearest(path.suffix, SOUND_ENDINGS) or ";"
        raise ValueError(f"{who}: can't write sounds to {path}{hint} use {', '.join(SOUND_ENDINGS)}, or a folder (a name without ending)")
    if not path.parent.is_dir():
        raise ValueError(f"{who}: there is no folder {path.parent} to write {path.name} to; make it first")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{who}: {path} exists and is not an empty folder; choose another name")


def _write_sounds(path: Path, levels: np.ndarray, schema: SoundSchema) -> None:
    import soundfile

    amplitudes = schema.to_amplitudes(levels[:, 0])

    def written(place: Path, sound: np.ndarray, ending: str) -> None:
        with place.open("wb") as file:
            soundfile.write(file, sound, schema.rate, subtype="PCM_16", format=ending.removeprefix(".").upper())

    def saved(place: Path) -> None:
        with place.open("wb") as file:  # numpy would add its ending to the temporary name
            np.save(file, levels)

    if path.suffix.lower() == ".npy":
        replace(path, saved)
    elif path.suffix:
        pause = np.zeros(int(SILENCE * schema.rate))
        sound = np.concatenate([part for one in amplitudes for part in (pause, one)][1:])
        replace(path, lambda place: written(place, sound, path.suffix.lower()))
    else:
        path.mkdir(exist_ok=True)
        for i, one in enumerate(amplitudes):
            written(path / f"{i:03}.wav", one, ".wav")
