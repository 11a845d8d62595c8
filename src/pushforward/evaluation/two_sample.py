"""Whether samples can be told from data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core import Distribution
from .likelihood import entering, settled

if TYPE_CHECKING:
    from ..data import Rows

FOLDS = 5
MOST_CATEGORIES = 254  # that trees tell apart
OUTMOST = 1e200  # infinity, to trees that only ask what is larger and would add up what they see


@dataclass(frozen=True)
class TwoSample:
    """A classifier's accuracy at telling model samples from data: 0.5 is chance, 1 is always.

    Attributes:
        accuracy: cross-validated, over both sides.
        stderr: its standard error.
        rows: on each side.
    """

    accuracy: float
    stderr: float
    rows: int

    def __float__(self) -> float:
        return self.accuracy

    def words(self) -> str:
        """The outcome in a sentence."""
        figure = f"a classifier tells samples from data with accuracy {self.accuracy:.3f} +- {self.stderr:.3f}"
        if self.accuracy <= 0.5 + 2 * self.stderr:
            return f"{figure}: no better than chance (0.5), with {self.rows:,} rows on each side"
        return f"{figure} (0.5 is chance), with {self.rows:,} rows on each side"

    def to_json(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "stderr": self.stderr, "rows": self.rows, "words": self.words()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> TwoSample:
        """The opposite of :meth:`to_json`."""
        return cls(found["accuracy"], found["stderr"], found["rows"])


def c2st(flow: Distribution, rows: Rows, *, limit: int = 5000, seed: int = 0, categories: Sequence[int] = ()) -> TwoSample:
    """Classifier two-sample test: can boosted trees tell the flow's samples from held-out rows? 0.5 says no.

    Five-fold cross-validated accuracy; a conditional flow is sampled at the rows' own contexts, which the classifier sees too,
    and a row and the sample of its context stay in one fold. Discrete data are compared as the integers they are.
    Power grows with the number of rows: compare figures of equal ``rows`` only. Cost: a few seconds.

    Reference: Revisiting Classifier Two-Sample Tests, Lopez-Paz, Oquab, 2016, arXiv:1610.06545.

    Arguments:
        flow: the model.
        rows: held-out rows.
        limit: at most so many rows on each side.
        seed: of the choice of rows, the samples and the classifier.
        categories: columns whose numbers are names; a classifier tells 254 of them apart, and takes the rarer ones for one.

    Raises:
        ValueError: fewer rows than twenty.

    Example::

        >>> c2st(flow, data.test).accuracy
        0.512
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    if len(rows.x) < 20:
        raise ValueError(f"c2st: expected at least 20 rows, got {len(rows.x)}; give more held-out rows")
    chosen = torch.as_tensor(np.random.default_rng(seed).permutation(len(rows.x))[:limit])
    real, raw = rows.x[chosen], None if rows.context is None else rows.context[chosen]
    with settled(flow, seed):
        like, context = entering(flow, real, raw)
        fake = flow.sample((len(real),)) if flow.context_shape is None else flow.sample((), context)
    sides = [np.clip(part.cpu().double().flatten(1).numpy(), -OUTMOST, OUTMOST) for part in (like, fake)]
    if raw is not None and flow.context_shape is not None:
        sides = [np.concatenate([side, raw.flatten(1).numpy()], 1) for side in sides]
    fold = np.tile(np.arange(len(real)) % FOLDS, 2)
    classes = np.repeat([0, 1], len(real))
    features = np.concatenate(sides)
    for i in categories:
        features[:, i] = _frequent(features[:, i])
    trees = HistGradientBoostingClassifier(random_state=seed, categorical_features=list(categories) or None)
    guess = cross_val_predict(trees, features, classes, cv=PredefinedSplit(fold))
    accuracy = float((guess == classes).mean())
    return TwoSample(accuracy, math.sqrt(accuracy * (1 - accuracy) / len(classes)), len(real))


def _frequent(codes: np.ndarray) -> np.ndarray:
    """Codes by their frequency, the rarest as one; gaps stay."""
    values, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    rank = np.minimum(np.argsort(np.argsort(-counts, kind="stable")), MOST_CATEGORIES - 1)
    return np.where(np.isnan(codes), np.nan, rank[np.searchsorted(values, np.nan_to_num(codes)).clip(max=len(values) - 1)])
