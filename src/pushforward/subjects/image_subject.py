"""Images: whole numbers of one shape, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plots
from ..baselines import files, no_files
from ..core import Flow
from ..data import HUB, Column, Data, ImageSchema, Rows, load_images, read_images
from ..data.images import rows_of_images
from ..data.request import Request
from ..evaluation import settled
from ..presets.recommend import alpha_for, are_drawings, for_images
from .image_samples import sample_images
from .image_scores import score_images
from .scored import Scored
from .subject import Choice, Example, Subject
from .watching import TrainingSheets, training_sheets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..compression import Parcel, Unpacking
    from ..evaluation import Score
    from ..plots import Picture
    from ..training import Run


class ImageSubject(Subject[ImageSchema]):
    """Images of one shape, perhaps given labels; samples are arrays or pictures, scores a table and a picture."""

    reads = ("context", "seed", "bits", "size", "crop", "gray", "valid", "test")
    foreign = "and these are images"
    noun = plural = "images"
    purpose = "draws images, so give a run of images"
    nowhere = "images need a place to go; give -o samples.png, .npy, .npz, .parquet or a folder"
    example = Example("FOLDER", "folder", 64, "samples.png")

    @classmethod
    def read(cls, request: Request, schema: ImageSchema | None = None) -> Data:
        found = load_images(request.source, **request.arguments(cls.reads))
        if schema is not None and found.schema != schema:
            what = f"the images of {request.called} are {found.schema}, but the run's are {schema}"
            raise ValueError(f"fit: {what}; give images like the run's")
        return found

    @classmethod
    def foreseen(cls, request: Request) -> tuple[ImageSchema, int, Choice] | None:
        """Of data sets of the Hub known by name."""
        source = request.source
        if not isinstance(source, str) or source not in HUB or Path(source).exists():
            return None
        entry, size = HUB[source], request.size
        channels, height, width = entry.shape
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
        cut = [split for split in ("valid", "test") if split not in entry.splits and getattr(request, split) is None]
        schema = ImageSchema((1 if request.gray else channels, height, width), levels=2 ** (request.bits or 8))
        return schema, entry.images * (10 - len(cut)) // 10, for_images(schema)

    @property
    def columns(self) -> list[Column]:
        return []

    def words(self) -> list[str]:
        images = f"images {' x '.join(map(str, self.schema.shape))} of {self.schema.levels} levels"
        return [images, *(f"given {column.name}" for column in self.schema.context)]

    def rows(self, data: Any, request: Request) -> Rows:
        return rows_of_images(read_images(data, self.schema), self.schema)

    def recoded(self, rows: Rows, schema: ImageSchema) -> Rows:
        return rows

    def recommend(self, data: Data) -> Choice:
        return for_images(self.schema, are_drawings(data))

    def options(self, data: Data) -> dict[str, Any]:
        return {"alpha": alpha_for(data)}

    def watch(self, folder: Path, rows: Rows) -> TrainingSheets:
        return TrainingSheets(folder, self.schema, rows)

    def baselines(self, data: Data, samples: int) -> list[Score]:
        return files(data.test, self.schema)

    @property
    def alone(self) -> str:
        return no_files(self.schema)

    def two_sample(self, flow: Flow, rows: Rows) -> None:
        return None  # trees on pixels would say little, and take hours

    def calibration(self, flow: Flow, rows: Rows) -> None:
        return None

    def figures(self, run: Run, data: Data, scores: Sequence[Score], ranked: object) -> list[Picture]:
        sheets = training_sheets(run.path / "figures" / "training")
        with settled(run.flow, 0):
            return [
                *plots.training_pictures(run, data.entropy, scores, self.schema.dim),
                *plots.image_figures(run.flow, data, scores[0], sheets),
                *plots.latent_figures(run.flow, data.test, self.schema.levels),
            ]

    def beside(self, x: np.ndarray, samples: Mapping[str, np.ndarray]) -> Figure:
        return plots.images_beside(x, samples, self.schema.shape, self.schema.levels)

    def sample(self, run: Run, n: int, out: str | Path | None, *, context: Any, temperature: Sequence[float], seed: int) -> np.ndarray:
        return sample_images(run, self.schema, n, out, context=context, temperature=temperature, seed=seed)

    def told(self, samples: np.ndarray, out: Path, at: str) -> str:
        return f"{len(samples):,} images in {out}: samples of the model{at}"

    def parcel(self, run: Run, data: Any) -> Parcel:
        from .image_parcel import ImageParcel

        return ImageParcel(self.schema, data)

    def unpacking(self, described: dict[str, Any]) -> Unpacking:
        from .image_parcel import ImageUnpacking

        return ImageUnpacking(self.schema, described)

    def score(self, run: Run, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, **options: int) -> Scored:
        return score_images(run, self.schema, data, out, figure, quantiles, **options)
