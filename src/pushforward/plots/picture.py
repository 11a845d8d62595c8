"""A figure with its words, and those that every run calls for: how it was trained, and what it reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from .curves import learning_curves, score_dots, short_name

if TYPE_CHECKING:
    from ..evaluation import Score
    from ..training.run import Run

DISTILLED = (
    "Minus the distillation's loss as training went on, of the training batches and of the validation rows; the ring marks the best."
)
LEARNING = "Log-likelihood as training went on, of the training batches and of the validation rows; the ring marks the best."
MATCHED = "Log-likelihood of the validation rows as training went on; the ring marks the best."


@dataclass(frozen=True)
class Picture:
    """A figure with its file name (no ending), its title, and a sentence or two on how to read it."""

    name: str
    title: str
    caption: str
    figure: Figure


def training_pictures(run: Run, entropy: float | None, scores: Sequence[Score], dim: int | None = None) -> list[Picture]:
    """Learning curves and scores, of which the first is the model's; in bits per dimension where ``dim`` says how many there are."""
    references = {short_name(score.name): score.nats for score in scores[1:] if np.isfinite(score.nats)}
    if entropy is not None:
        references["best possible"] = -entropy
    found = []
    metrics = run.metrics()
    if "distill" in run.config:  # its loss is no likelihood, so there is nothing to draw beside it
        found.append(Picture("learning", "Learning curves", DISTILLED, learning_curves(metrics, label="minus the distillation's loss")))
    elif any("loss" in m or "valid" in m for m in metrics):
        matching = run.config.get("train", {}).get("objective") == "flow_matching"  # nor is its loss; validation goes by the likelihood
        metrics = [{**m, "loss": None} for m in metrics] if matching else metrics
        words = (MATCHED if matching else LEARNING) + (" Dashed: the baselines' test scores." if references else "")
        found.append(Picture("learning", "Learning curves", words, learning_curves(metrics, references, dim)))
    if len(scores) > 1:
        words = "Test log-likelihood with two standard errors; the model in colour."
        found.append(Picture("scores", "Beside the baselines", words, score_dots(scores, entropy, dim)))
    return found
