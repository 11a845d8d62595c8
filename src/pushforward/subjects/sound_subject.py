"""Sounds: windows of whole numbers, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plots
from ..core import Flow
from ..data import Column, Data, Rows, SoundSchema, load_sounds, read_sounds
from ..data.request import Request
from ..data.sounds import rows_of_sounds
from ..evaluation import settled
from .scored import Scored
from .sound_baselines import sound_baselines
from .sound_files import sample_sounds, score_sounds
from .subject import Choice, Example, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..compression import Parcel, Unpacking
    from ..evaluation import Score
    from ..plots import Picture
    from ..training import Run


class SoundSubject(Subject[SoundSchema]):
    """Mono sounds of one rate in windows, perhaps given labels; samples are levels or files, scores a table and a picture."""

    reads = ("context", "seed", "bits", "window", "companding", "sound", "valid", "test")
    foreign = "and these are sounds"
    noun = plural = "sounds"
    purpose = "is about sounds, so give a run of sounds"
    nowhere = "sounds need a place to go; give -o sample.wav, .flac, .npy or a folder"
    example = Example("FOLDER", "folder", 1, "sample.wav")
    usual = 1

    @classmethod
    def read(cls, request: Request, schema: SoundSchema | None = None) -> Data:
        found = load_sounds(request.source, **request.arguments(cls.reads))
        if schema is not None and found.schema != schema:
            what = f"the sounds of {request.called} are {found.schema}, but the run's are {schema}"
            raise ValueError(f"fit: {what}; give sounds like the run's")
        return found

    @classmethod
    def foreseen(cls, request: Request) -> None:
        return None

    @property
    def columns(self) -> list[Column]:
        return []

    def words(self) -> list[str]:
        schema = self.schema
        sounds = f"sounds of {schema.window} samples at {schema.rate} Hz, {schema.levels} {schema.companding} levels"
        return [sounds, *(f"given {column.name}" for column in schema.context)]

    def rows(self, data: Any, request: Request) -> Rows:
        return rows_of_sounds(read_sounds(data, self.schema), self.schema)

    def recoded(self, rows: Rows, schema: SoundSchema) -> Rows:
        return rows

    def recommend(self, data: Data) -> Choice:
        return None, "wavenet_speech_small", "chosen for sounds: preset wavenet_speech_small (--model or --preset choose others)"

    def options(self, data: Data) -> dict[str, Any]:
        return {}

    def watch(self, folder: Path, rows: Rows) -> None:
        return None

    def baselines(self, data: Data, samples: int) -> list[Score]:
        return sound_baselines(data, self.schema)

    @property
    def alone(self) -> str:
        return ""

    def two_sample(self, flow: Flow, rows: Rows) -> None:
        return None

    def calibration(self, flow: Flow, rows: Rows) -> None:
        return None

    def figures(self, run: Run, data: Data, scores: Sequence[Score], ranked: object) -> list[Picture]:
        with settled(run.flow, 0):
            return [
                *plots.training_pictures(run, data.entropy, scores, self.schema.dim),
                *plots.sound_figures(run.flow, data, scores[0]),
            ]

    def beside(self, x: np.ndarray, samples: Mapping[str, np.ndarray]) -> Figure:
        shown = {"data": x, **samples}
        levels = np.stack([rows.reshape(-1, self.schema.window)[0] for rows in shown.values()])
        return plots.waveforms(self.schema.to_amplitudes(levels), self.schema.rate, list(shown), (0,))

    def sample(self, run: Run, n: int, out: str | Path | None, *, context: Any, temperature: Sequence[float], seed: int) -> np.ndarray:
        if len(temperature) != 1:
            raise ValueError(f"sample: expected one temperature for sounds, got {len(temperature)}; give each a file of its own")
        return sample_sounds(run, self.schema, n, out, context=context, temperature=temperature[0], seed=seed)

    def told(self, samples: np.ndarray, out: Path, at: str) -> str:
        return f"{len(samples):,} sounds of {self.schema.window / self.schema.rate:.3g} s in {out}: samples of the model"

    def parcel(self, run: Run, data: Any) -> Parcel:
        from .sound_parcel import SoundParcel

        return SoundParcel(self.schema, data)

    def unpacking(self, described: dict[str, Any]) -> Unpacking:
        from .sound_parcel import SoundUnpacking

        return SoundUnpacking(self.schema, described)

    def score(self, run: Run, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, **options: int) -> Scored:
        return score_sounds(run, self.schema, data, out, figure, quantiles, **options)
