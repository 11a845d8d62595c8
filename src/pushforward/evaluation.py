"""How good a fitted density is: nats on held-out rows beside baselines, and whether its samples can be told from data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .core import Distribution
from .transforms import Cast

if TYPE_CHECKING:
    from .data import Rows, Schema

FOLDS = 5


@dataclass(frozen=True)
class Score:
    """A mean log-likelihood over held-out rows, with all that is needed to compare it.

    Attributes:
        name: of the model.
        nats: mean log-likelihood per row in the data's own units; higher is better. ``-inf`` as soon as one row is impossible.
        stderr: standard error of that mean, over rows.
        kind: ``"exact"``, ``"bound"`` (the true figure is higher) or ``"estimate"`` (unbiased noise), as ``flow.kind``.
        samples: passes averaged for each row, where the kind is not exact.
        rows: how many rows.
        standardized: nats per row for columns divided by their standard deviation, as tables of papers quote it.
        bits_per_dim: for data that are discrete throughout, ``-nats / (D ln 2)``; lower is better.
        train_seconds: what fitting took, if known.
        impossible: rows of density zero (or not a number).
        possible_nats: the mean over the other rows, if there are impossible ones.
        per_row: the log-likelihoods themselves, which :func:`verdict` compares pair by pair; not part of the JSON.
    """

    name: str
    nats: float
    stderr: float
    kind: str
    samples: int
    rows: int
    standardized: float | None = None
    bits_per_dim: float | None = None
    train_seconds: float | None = None
    impossible: int = 0
    possible_nats: float | None = None
    per_row: np.ndarray | None = field(default=None, repr=False, compare=False)

    def words(self) -> str:
        """What the figure is: ``exact``, ``lower bound, K=16 samples`` or ``unbiased estimate``, and how many rows are impossible."""
        passes = f", K={self.samples} sample{'s' * (self.samples > 1)}"
        words = {"exact": "exact", "bound": "lower bound" + passes, "estimate": "unbiased estimate" + passes}[self.kind]
        if not self.impossible:
            return words
        others = "" if self.possible_nats is None else f" (mean of the others {self.possible_nats:.3f})"
        return f"{words}; {self.impossible:,} of {self.rows:,} rows have density zero{others}"

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold: infinite and undefined numbers become None."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "per_row"}
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()} | {"words": self.words()}


def summarize(
    name: str,
    log_prob: Tensor | np.ndarray,
    *,
    kind: str = "exact",
    samples: int = 1,
    dim: int = 1,
    schema: Schema | None = None,
    weight: Tensor | None = None,
    train_seconds: float | None = None,
) -> Score:
    """The score of per-row log-likelihoods ``(N,)`` in data units; ``dim`` numbers per row; weighted mean if weights are given."""
    values = torch.as_tensor(log_prob, dtype=torch.float64)
    w = torch.ones_like(values) if weight is None else weight.to(values)
    possible = values > -math.inf  # False for NaN too
    w = w / w.sum()
    inner = (w * values)[possible].sum() / w[possible].sum()
    impossible = int((~possible).sum())
    nats = float(inner) if not impossible else -math.inf
    stderr = float((w * (values - inner)).square().sum().sqrt()) if not impossible else math.nan
    discrete = schema is not None and schema.discrete
    return Score(
        name=name,
        nats=nats,
        stderr=stderr,
        kind=kind,
        samples=1 if kind == "exact" else samples,
        rows=len(values),
        standardized=None if schema is None or discrete else nats + schema.log_scale,
        bits_per_dim=-nats / (dim * math.log(2)) if discrete else None,
        train_seconds=train_seconds,
        impossible=impossible,
        possible_nats=float(inner) if impossible and possible.any() else None,
        per_row=values.numpy(),
    )


def evaluate(
    flow: Distribution,
    rows: Rows,
    *,
    samples: int = 1,
    batch: int = 4096,
    schema: Schema | None = None,
    name: str = "flow",
    train_seconds: float | None = None,
    seed: int = 0,
) -> Score:
    r"""The mean log-likelihood of rows, ``1/N sum_i log p(x_i | c_i)``, in nats per row, with its standard error.

    In data units, since preprocessing is part of the flow; ``standardized`` adds the sum of the columns' log deviations.
    For integers ``p`` is the probability of the integer, and a dequantized flow gives a lower bound on it, which ``samples``
    tighten. Rows with weights give the weighted mean. Cost: ``samples`` passes, in batches; without gradient, in eval mode.

    Arguments:
        flow: the model; raw float64 rows go in.
        rows: of the split to judge by, not of the training split.
        samples: K, averaged per row as ``flow.log_prob`` does; without effect on an exact model.
        batch: rows (times samples) at once.
        schema: of the data; gives the standardized figure and says whether bits per dimension make sense.
        name: what the score table calls the model.
        train_seconds: passed on to the score.
        seed: of the noise of stochastic layers; the generator's state is restored.

    Raises:
        ValueError: there are no rows.

    Example::

        >>> score = evaluate(flow, data.test, schema=data.schema)
        >>> f"{score.nats:.2f} +- {score.stderr:.2f}, {score.words()}"
        '-9.31 +- 0.02, exact'
    """
    log_prob = log_likelihood(flow, rows, samples=samples, batch=batch, seed=seed)
    dim = math.prod(flow.shape)
    options: dict[str, Any] = {"schema": schema, "weight": rows.weight, "train_seconds": train_seconds}
    return summarize(name, log_prob, kind=flow.kind, samples=samples, dim=dim, **options)


@torch.no_grad()
def log_likelihood(flow: Distribution, rows: Rows, *, samples: int = 1, batch: int = 4096, seed: int = 0) -> Tensor:
    """The log-likelihood of each row in nats, float64 ``(N,)`` on the CPU; arguments as :func:`evaluate`."""
    if not len(rows.x):
        raise ValueError("evaluate: expected at least one row, got none; check the split")
    step = max(1, batch // samples)
    with settled(flow, seed):
        parts = []
        for start in range(0, len(rows.x), step):
            context = None if rows.context is None else rows.context[start : start + step]
            x, context = entering(flow, rows.x[start : start + step], context)
            parts.append(flow.log_prob(x, context, samples) if samples > 1 else flow.log_prob(x, context))  # type: ignore[call-arg]
    return torch.cat([part.double().cpu() for part in parts])


def verdict(scores: Sequence[Score]) -> str:
    """Which of the scores is best, in a sentence; the first is the flow's, the others its baselines'.

    If a baseline wins it says so plainly. A gap within two of its standard errors is called a tie; that error is taken over the
    differences row by row (rows that are hard for one model are hard for the other), so all scores must be of the same rows.
    """
    flow, *others = scores
    if not others:
        return f"{flow.name}: nothing to compare with."
    best = max(others, key=lambda s: s.nats)
    rival = best.name.partition(" (")[0]  # without what the name says about rows and context
    gap, noise = flow.nats - best.nats, 2 * _gap_error(flow, best)
    if math.isinf(flow.nats) and math.isinf(best.nats):
        return f"{flow.name} and all baselines give density zero to some of the rows: none of them can be compared."
    if math.isinf(flow.nats):
        return f"{flow.name} gives density zero to {flow.impossible:,} rows; the {rival} does not: the baseline wins."
    if gap < 0:
        plainly = "A simpler model wins" if gap < -noise else "The flow is not better than a simpler model"
        return f"{plainly}: the {rival} is {-gap:.3f} nats per row above {flow.name}. Train longer, or use the {rival}."
    if gap <= noise:
        return f"{flow.name} is best, but by {gap:.3f} nats per row over the {rival}, which is within two standard errors: a tie."
    return f"{flow.name} is best: {gap:.3f} nats per row above the best baseline ({rival})."


def _gap_error(a: Score, b: Score) -> float:
    """Standard error of ``a.nats - b.nats``."""
    if a.per_row is None or b.per_row is None or a.impossible or b.impossible:
        return math.hypot(a.stderr, b.stderr)
    return float((a.per_row - b.per_row).std() / math.sqrt(a.rows))


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


def c2st(flow: Distribution, rows: Rows, *, limit: int = 5000, seed: int = 0) -> TwoSample:
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
    sides = [part.cpu().double().flatten(1).numpy() for part in (like, fake)]
    if raw is not None and flow.context_shape is not None:
        sides = [np.concatenate([side, raw.flatten(1).numpy()], 1) for side in sides]
    fold = np.tile(np.arange(len(real)) % FOLDS, 2)
    classes = np.repeat([0, 1], len(real))
    guess = cross_val_predict(HistGradientBoostingClassifier(random_state=seed), np.concatenate(sides), classes, cv=PredefinedSplit(fold))
    accuracy = float((guess == classes).mean())
    return TwoSample(accuracy, math.sqrt(accuracy * (1 - accuracy) / len(classes)), len(real))


def entering(flow: Distribution, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows as the flow takes them: on its device, float64 if its layers end the preprocessing in a Cast, else its parameters' dtype."""
    like = next((t for t in [*flow.parameters(), *flow.buffers()] if t.is_floating_point()), x)
    dtype = torch.float64 if any(isinstance(m, Cast) for m in flow.modules()) else like.dtype
    return x.to(like.device, dtype), None if context is None else context.to(like.device, dtype)


@contextmanager
def settled(flow: Distribution, seed: int) -> Iterator[None]:
    """Eval mode and seeded noise for a while; mode and generators are restored."""
    like = next(iter([*flow.parameters(), *flow.buffers()]), torch.empty(0))
    training = flow.training
    with torch.random.fork_rng([like.device] if like.device.type == "cuda" else []):
        torch.manual_seed(seed)
        flow.eval()
        try:
            yield
        finally:
            flow.train(training)
