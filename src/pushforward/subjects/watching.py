"""What a model of images makes of the same noise as its training goes on, in a few small sheets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from .. import plots
from ..core import Flow
from ..data import ImageSchema, Rows
from ..evaluation import entering, settled

MOMENTS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)  # shares of a run after which there is a sheet
SIDE, NUMBERS = 8, 2**17  # images in a row and column of a sheet, and the numbers in it that are worth drawing while training waits
SEED = 0


class TrainingSheets:
    """Called after each validation: writes ``step_000500.png`` for the first one at or after each of six moments of a run.

    The noise is the same in every sheet, and so are the labels, which are those of some validation images. The random numbers
    of training are left alone. Cost: six times the sampling of 64 images, fewer if they are large.

    Arguments:
        folder: where to write.
        schema: of the images.
        rows: of which the labels are taken.
    """

    def __init__(self, folder: Path, schema: ImageSchema, rows: Rows):
        self.folder, self.levels = folder, schema.levels
        self.side = max(2, min(SIDE, int((NUMBERS / schema.dim) ** 0.5)))
        self.rows = rows.pick(slice(0, self.side**2))
        self._labelled = bool(schema.context)

    def __call__(self, flow: nn.Module, step: int, done: float) -> None:
        assert isinstance(flow, Flow)
        due = sum(done >= moment for moment in MOMENTS)
        if sum(number < step for number, _ in training_sheets(self.folder)) >= due:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with settled(flow, SEED), torch.no_grad():
            labels = entering(flow, self.rows.x, self.rows.context)[1] if self._labelled else None
            x = flow.sample((self.side**2,)) if labels is None else flow.sample((), labels)
        if x.isfinite().all():
            plots.contact_sheet(x.cpu().numpy(), self.levels, self.folder / f"step_{step:06d}.png", columns=self.side)


def training_sheets(folder: Path) -> list[tuple[int, Path]]:
    """The sheets in a folder with their steps, in order."""
    found = [(path.stem.removeprefix("step_"), path) for path in folder.glob("step_*.png")]
    return sorted((int(number), path) for number, path in found if number.isdigit())
