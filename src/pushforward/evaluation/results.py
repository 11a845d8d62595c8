"""All that is known of a fitted run once it has been judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

import torch
from pydantic import Field
from typing_extensions import TypedDict

from ..core import Distribution
from ..documents import validated
from .calibration import Calibration
from .likelihood import log_likelihood
from .scores import Score
from .two_sample import TwoSample

if TYPE_CHECKING:
    from ..data import Rows

QUANTILES = 1000  # steps between the kept quantiles of the training rows' log-likelihoods
MINUS_INFINITY = -1e300  # stands for -inf among them, which JSON has not
RANGE_ROWS, RANGE_IMAGES = 50_000, 2_000  # training rows these are taken from, at most


class _KeptScore(TypedDict):
    """A score in scores.json."""

    name: str
    nats: float | None
    stderr: float | None
    kind: Literal["exact", "bound", "estimate", "code"]
    samples: int
    rows: int
    standardized: NotRequired[float | None]
    bits_per_dim: NotRequired[float | None]
    bits_stderr: NotRequired[float | None]
    train_seconds: NotRequired[float | None]
    impossible: NotRequired[int]
    possible_nats: NotRequired[float | None]
    how: NotRequired[str]
    discrete_nats: NotRequired[float | None]
    continuous_nats: NotRequired[float | None]


class _KeptTest(TypedDict):
    """A two-sample test in scores.json."""

    accuracy: float
    stderr: float
    rows: int


class _Kept(TypedDict):
    """A scores.json, which may come from a stranger."""

    scores: Annotated[list[_KeptScore], Field(min_length=1)]
    verdict: str
    entropy: float | None
    c2st: _KeptTest | None
    quantiles: Annotated[list[float], Field(min_length=2)]
    distillation: NotRequired[dict[str, Any] | None]
    calibration: NotRequired[dict[str, Any] | None]


@dataclass(frozen=True)
class Results:
    """Scores on the test rows beside baselines, and what else a run's ``scores.json`` holds.

    Attributes:
        scores: the flow's first, then those it is compared with.
        verdict: what they say, in a sentence.
        entropy: of the data's own distribution, in nats, where it is known.
        c2st: whether samples can be told from test rows; None where that was not asked.
        quantiles: :func:`likelihood_quantiles` of the training rows.
        calibration: coverage of intervals and ranks; None for images, for few rows, and where scores.json does not have it.
        distillation: how a student compares with its teacher; None for other runs.
    """

    scores: list[Score]
    verdict: str
    entropy: float | None = None
    c2st: TwoSample | None = None
    quantiles: list[float] = field(default_factory=list)
    distillation: dict[str, Any] | None = None
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """As a dictionary that JSON can hold."""
        found = {
            "scores": [score.to_json() for score in self.scores],
            "verdict": self.verdict,
            "entropy": self.entropy,
            "c2st": None if self.c2st is None else self.c2st.to_json(),
            "quantiles": self.quantiles,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }
        return found if self.distillation is None else found | {"distillation": self.distillation}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Results:
        """The opposite of :meth:`to_json`, but for the scores of single rows, which are not kept.

        Raises:
            ValueError: something is missing or of another type.
        """
        validated(_Kept, found, "results", strict=True)
        return cls(
            [Score.from_json(score) for score in found["scores"]],
            found["verdict"],
            found["entropy"],
            None if found["c2st"] is None else TwoSample.from_json(found["c2st"]),
            found["quantiles"],
            found.get("distillation"),
            Calibration.from_json(found["calibration"]) if found.get("calibration") else None,
        )


def likelihood_quantiles(flow: Distribution, train: Rows, samples: int = 1, most: int = RANGE_ROWS) -> list[float]:
    """1,001 quantiles of the log-likelihoods of training rows, ``most`` of them, by which unusual rows are found."""
    most = most if train.x.dim() == 2 else min(most, RANGE_IMAGES)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:most]
    values = log_likelihood(flow, train.pick(order.numpy()), samples=samples)
    quantiles = values.quantile(torch.linspace(0, 1, QUANTILES + 1, dtype=torch.float64))
    return quantiles.nan_to_num(nan=MINUS_INFINITY, neginf=MINUS_INFINITY).tolist()
