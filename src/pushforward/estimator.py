"""A flow as a scikit-learn density estimator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .data import Rows
from .evaluation import log_likelihood, settled
from .models import MODELS
from .options import parse_options
from .presets import read_preset
from .presets.recommend import for_table
from .training import History
from .training import fit as train
from .transforms import Cast, Standardize
from .words import nearest

LEAST_DEVIATION = 1e-6  # the least standard deviation of a feature, relative to the size of its values


class FlowDensity(DensityMixin, BaseEstimator):
    """A normalizing flow where scikit-learn expects a density, as ``KernelDensity`` or ``GaussianMixture``.

    Features are real numbers, standardized inside; what goes in and comes out is in their own units. The nets train in float32;
    scoring and sampling are float64, so that a row's figure does not depend on the rows beside it. For integers, text or times
    use :func:`pushforward.fit`, which dequantizes: a density of integers grows without bound.

    A constant feature is given a tiny deviation, with a warning: its density is then an artefact.

    Cost: ``steps`` gradient steps of ``batch`` rows; scoring and sampling one pass each.

    Parameters:
        model: a recipe of ``pushforward.models``, or None for the preset that :func:`pushforward.fit` would choose for so many rows
            and features.
        options: the recipe's own, as ``{"steps": 3, "width": 64}``.
        steps: of training; None for the preset's, or else about 25 passes over the data.
        batch: rows of a step.
        lr: the largest learning rate; None for the preset's, or else that of :func:`pushforward.training.fit`.
        validation_fraction: of the rows, by which the best weights are chosen; below 20 rows all of them serve for both.
        time_limit: seconds of training, or None.
        random_state: an int, a RandomState or None; of the split, the initial weights, the order of rows and :meth:`sample`.
        progress: show progress on stderr.

    Attributes:
        flow_: the fitted :class:`Flow`, float64.
        history_: the training's :class:`History`.
        n_features_in_: columns of X.

    Example::

        >>> X = load_wine().data
        >>> density = FlowDensity("maf", options={"steps": 3}).fit(X)
        >>> density.score_samples(X).shape, density.sample(5).shape
        ((178,), (5, 13))
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        steps: int | None = None,
        batch: int = 512,
        lr: float | None = None,
        validation_fraction: float = 0.1,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        progress: bool = False,
    ):
        self.model = model
        self.options = options
        self.steps = steps
        self.batch = batch
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.time_limit = time_limit
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: Any, y: None = None, sample_weight: Any = None) -> FlowDensity:
        """Fit the flow to rows ``X (n_samples, n_features)``, weighted by ``sample_weight (n_samples,)``.

        Raises:
            ValueError: X is not finite numbers of at least two rows, or an unknown model or option.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if self.model is not None and self.model not in MODELS:
            raise ValueError(
                f"FlowDensity: unknown model {self.model!r}{nearest(self.model, MODELS) or ';'} the models are {', '.join(MODELS)}"
            )
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"FlowDensity: expected a validation_fraction between 0 and 1, got {self.validation_fraction}")
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        rows, valid = held_out(Rows(torch.tensor(X), None, weights), self.validation_fraction, random)
        preset = read_preset(for_table(len(rows), X.shape[1])[0]) if self.model is None else {}
        recipe = MODELS[self.model or preset.pop("model.name")]
        options, training = parse_options(preset | {f"model.{name}": value for name, value in (self.options or {}).items()}, recipe, train)
        training |= {name: value for name, value in (("steps", self.steps), ("lr", self.lr)) if value is not None}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            flow = recipe((X.shape[1],), **options).prepend(Standardize(*self._scale(X)), Cast())
            self.history_: History = train(
                flow,
                rows,
                valid,
                **training | {"batch": self.batch},
                time_limit=self.time_limit,
                seed=seed,
                progress=self.progress,
            )
        self.flow_ = flow.cpu().double().eval()
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-likelihood of each row in nats, in the units of X: ``(n_samples, n_features) -> (n_samples,)``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return log_likelihood(self.flow_, Rows(torch.tensor(X))).numpy()

    def score(self, X: Any, y: None = None) -> float:
        """The mean log-likelihood per row in nats (as ``GaussianMixture``; ``KernelDensity`` gives the sum)."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """``(n_samples, n_features)`` draws, in the units of X."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"FlowDensity: expected n_samples of at least 1, got {n_samples}")
        random = check_random_state(self.random_state if random_state is None else random_state)
        with settled(self.flow_, int(random.randint(2**31 - 1))):
            return self.flow_.sample((n_samples,)).numpy()

    def _scale(self, X: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = X.mean(0), X.std(0)
        floor = LEAST_DEVIATION * np.maximum(np.abs(mean), 1.0)
        constant = np.flatnonzero(X.max(0) == X.min(0))
        if len(constant):
            warnings.warn(
                f"FlowDensity: features {', '.join(map(str, constant[:8]))} are constant and have no density; leave them out",
                UserWarning,
                stacklevel=3,
            )
        std = np.where(X.max(0) == X.min(0), floor, np.maximum(std, np.finfo(np.float64).tiny))
        return torch.tensor(mean), torch.tensor(std)


def held_out(rows: Rows, fraction: float, random: np.random.RandomState) -> tuple[Rows, Rows]:
    """Rows to train on and to validate by; below 20 rows all of them serve for both."""
    count = round(fraction * len(rows))
    if len(rows) < 20 or not 0 < count < len(rows):
        return rows, rows
    order = random.permutation(len(rows))
    return rows.pick(order[count:]), rows.pick(order[:count])
