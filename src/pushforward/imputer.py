"""An any-order model as a scikit-learn imputer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .data import Rows
from .estimator import held_out
from .evaluation import settled
from .models import any_order
from .options import parse_options
from .presets import read_preset
from .presets.recommend import for_mixed
from .questions import questions
from .training import History
from .training import fit as train
from .transforms import Support


class FlowImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fills gaps (NaN) from what is known of their row, where scikit-learn expects an imputer, as ``IterativeImputer`` or ``KNNImputer``.

    ``x_missing ~ p(. | x_known)`` by an any-order model, or the median of each cell given what is known of its row. Features are numbers;
    those that are whole in training stay whole. Whether a value is missing may depend on those of its row that are known, not on itself.

    Cost: ``steps`` gradient steps; a pass of the net for each feature with gaps.

    Parameters:
        how: "middle" for medians, "draw" for draws: of several draws the spread tells what is not known.
        options: of the recipe ``any_order``, as ``{"width": 64}``; else those of the preset for so many rows.
        steps: of training; None for about 25 passes over the data.
        batch: rows of a step.
        validation_fraction: of the rows, by which the best weights are chosen; below 20 rows all of them serve for both.
        time_limit: seconds of training, or None.
        random_state: an int, a RandomState or None; of the split, the training and the draws.
        progress: show progress on stderr.

    Attributes:
        flow_: the fitted :class:`Flow`, float64.
        history_: the training's :class:`History`.
        n_features_in_: columns of X.

    Example::

        >>> X = load_wine().data.copy()
        >>> X[::3, 0] = np.nan
        >>> filled = FlowImputer(steps=100, random_state=0).fit_transform(X)
        >>> filled.shape, int(np.isnan(filled).sum())
        ((178, 13), 0)
    """

    def __init__(
        self,
        how: Literal["middle", "draw"] = "middle",
        *,
        options: Mapping[str, Any] | None = None,
        steps: int | None = None,
        batch: int = 128,
        validation_fraction: float = 0.1,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        progress: bool = False,
    ):
        self.how = how
        self.options = options
        self.steps = steps
        self.batch = batch
        self.validation_fraction = validation_fraction
        self.time_limit = time_limit
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: Any, y: None = None) -> FlowImputer:
        """Fit the model to rows ``X (n_samples, n_features)`` with gaps.

        Raises:
            ValueError: X is not numbers or NaN, or an unknown option.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if self.how not in ("middle", "draw"):
            raise ValueError(f"FlowImputer: how must be 'middle' or 'draw', got {self.how!r}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"FlowImputer: expected a validation_fraction between 0 and 1, got {self.validation_fraction}")
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        settings = read_preset(for_mixed(len(X))[0]) | {f"model.{name}": value for name, value in (self.options or {}).items()}
        settings.pop("model.name")
        options, training = parse_options(settings, any_order, train)
        training |= {} if self.steps is None else {"steps": self.steps}
        rows, valid = held_out(Rows(torch.tensor(X)), self.validation_fraction, random)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            flow = any_order((X.shape[1],), [_support(column) for column in X.T], **options)
            limit = {"batch": self.batch, "time_limit": self.time_limit}
            self.history_: History = train(flow, rows, valid, **training | limit, seed=seed, progress=self.progress)
        self.flow_ = flow.cpu().double().eval()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """X with its gaps filled, ``(n_samples, n_features)``; a feature without any value in training stays as it is."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False, copy=True)
        x = torch.tensor(X)
        given, ask = ~x.isnan(), questions(self.flow_)
        with settled(self.flow_, int(check_random_state(self.random_state).randint(2**31 - 1))), torch.no_grad():
            if self.how == "draw":
                return ask.complete(x, given).numpy()
            for i in (~given).any(0).nonzero().flatten().tolist():
                gap = ~given[:, i]
                x[gap, i] = ask.predict(i, torch.tensor(X)[gap], given[gap]).quantile(0.5)
        return x.numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _support(column: np.ndarray) -> Support:
    known = column[~np.isnan(column)]
    whole = bool(len(known)) and bool((known == np.floor(known)).all() and np.abs(known).max() < 2**53)
    gaps = len(known) < len(column)
    return Support(whole=whole, low=0.0 if whole and known.min() >= 0 else None, missing=gaps, ignorable=gaps)
