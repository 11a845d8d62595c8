"""A mean log-likelihood with all that is needed to compare it, and what a comparison says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..data import Schema, WholeSchema


@dataclass(frozen=True)
class Score:
    """A mean log-likelihood over held-out rows, with all that is needed to compare it.

    Attributes:
        name: of the model.
        nats: mean log-likelihood per row in the data's own units; higher is better. ``-inf`` as soon as one row is impossible.
        stderr: standard error of that mean, over rows.
        kind: ``"exact"``, ``"bound"`` (the true figure is higher) or ``"estimate"`` (unbiased noise), as ``flow.kind``; ``"code"`` for
            the length of a file.
        samples: passes averaged for each row, where the kind is not exact.
        rows: how many rows.
        standardized: nats per row for columns divided by their standard deviation, as tables of papers quote it.
        bits_per_dim, bits_stderr: for data that are discrete throughout, ``-nats / (D ln 2)``, lower is better; and its standard error.
        train_seconds: what fitting took, if known.
        impossible: rows of density zero (or not a number).
        possible_nats: the mean over the other rows, if there are impossible ones.
        how: more on what the figure is, such as ``uniform dequantization``.
        discrete_nats, continuous_nats: of a model that tells columns apart, the part of the columns that have probabilities, and that of
            those that have densities, where there are both; over the rows that are possible.
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
    bits_stderr: float | None = None
    train_seconds: float | None = None
    impossible: int = 0
    possible_nats: float | None = None
    how: str = ""
    discrete_nats: float | None = None
    continuous_nats: float | None = None
    per_row: np.ndarray | None = field(default=None, repr=False, compare=False)

    def words(self) -> str:
        """What the figure is: ``exact``, ``lower bound, K=16 samples`` or ``unbiased estimate``, and how many rows are impossible."""
        passes = f", K={self.samples} sample{'s' * (self.samples > 1)}"
        words = {"exact": "exact", "bound": "lower bound" + passes, "estimate": "unbiased estimate" + passes, "code": ""}[self.kind]
        parts = ""
        if self.discrete_nats is not None and self.continuous_nats is not None:
            bits = -self.discrete_nats / math.log(2)
            parts = f"discrete columns {self.discrete_nats:.3f} ({bits:.3f} bits), continuous ones {self.continuous_nats:.3f}"
        words = "; ".join(part for part in (words, self.how, parts) if part)
        if not self.impossible:
            return words
        others = "" if self.possible_nats is None else f" (mean of the others {self.possible_nats:.3f})"
        return f"{words}; {self.impossible:,} of {self.rows:,} rows have density zero{others}"

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that JSON can hold: infinite and undefined numbers become None."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "per_row"}
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()} | {"words": self.words()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Score:
        """The opposite of :meth:`to_json`: a mean that is None is that of impossible rows."""
        known = {f.name: found[f.name] for f in fields(cls) if f.name in found}
        return cls(
            **known
            | {
                "nats": -math.inf if found["nats"] is None else found["nats"],
                "stderr": math.nan if found["stderr"] is None else found["stderr"],
            }
        )


def summarize(
    name: str,
    log_prob: Tensor | np.ndarray,
    terms: Tensor | None = None,
    *,
    kind: str = "exact",
    samples: int = 1,
    dim: int = 1,
    schema: Schema | WholeSchema | None = None,
    weight: Tensor | None = None,
    train_seconds: float | None = None,
    how: str = "",
) -> Score:
    """The score of per-row log-likelihoods ``(N,)`` in data units; ``dim`` numbers per row; weighted mean if weights are given.

    ``terms`` ``(N, D)`` are what each column of the schema adds.
    """
    values = torch.as_tensor(log_prob, dtype=torch.float64)
    w = torch.ones_like(values) if weight is None else weight.to(values)
    possible = values > -math.inf  # False for NaN too
    w = w / w.sum()
    inner = (w * values)[possible].sum() / w[possible].sum()
    impossible = int((~possible).sum())
    nats = float(inner) if not impossible else -math.inf
    stderr = float((w * (values - inner)).square().sum().sqrt()) if not impossible else math.nan
    discrete = schema is not None and schema.discrete
    parts: list[float | None] = [None, None]
    if terms is not None and schema is not None and possible.any():
        columns = (w[possible] @ terms[possible]) / w[possible].sum()
        whole = torch.tensor([column.discrete for column in schema.columns])  # type: ignore[union-attr]
        parts = [float(columns[whole].sum()), float(columns[~whole].sum())]
    return Score(
        name=name,
        nats=nats,
        stderr=stderr,
        kind=kind,
        samples=1 if kind in ("exact", "code") else samples,
        rows=len(values),
        standardized=None if schema is None or schema.discrete or schema.mixed else nats + schema.log_scale,  # type: ignore[union-attr]
        bits_per_dim=-nats / (dim * math.log(2)) if discrete else None,
        bits_stderr=stderr / (dim * math.log(2)) if discrete else None,
        train_seconds=train_seconds,
        impossible=impossible,
        possible_nats=float(inner) if impossible and possible.any() else None,
        how=how,
        discrete_nats=parts[0],
        continuous_nats=parts[1],
        per_row=values.numpy(),
    )


def verdict(scores: Sequence[Score], alone: str = "", repeated: str = "") -> str:
    """Which of the scores is best, in a sentence; the first is the flow's, the others its baselines'.

    If a baseline wins it says so plainly. A gap within two of its standard errors is called a tie; that error is taken over the
    differences row by row (rows that are hard for one model are hard for the other), so all scores must be of the same rows.
    Where values of real columns repeat, a density can grow without bound on them: the sentence begins with that, and tells no gap.

    Arguments:
        scores: of the same rows.
        alone: why there are no baselines, if there are none.
        repeated: which values repeat, in words.
    """
    if not repeated:
        return _compared(scores, alone)
    best = max(scores, key=lambda s: s.nats).name.partition(" (")[0]
    words = f"The likelihood says little here: {repeated}, and a continuous density can grow without bound on repeated values"
    return f"{words}. By it {best} is best; judge the samples instead."


def _compared(scores: Sequence[Score], alone: str) -> str:
    flow, *others = scores
    if not others:
        reached = "" if flow.bits_per_dim is None else f" {flow.bits_per_dim:.3f} bits per dim, and"
        return f"{flow.name}:{reached} nothing to compare with{alone and ': '}{alone}."
    best = max(others, key=lambda s: s.nats)
    rival = best.name.partition(" (")[0]  # without what the name says about rows and context
    if best.kind == "code":
        return _beside_files(flow, best, rival)
    gap, noise = flow.nats - best.nats, 2 * _gap_error(flow, best)
    if math.isinf(flow.nats) and math.isinf(best.nats):
        return f"{flow.name} and all baselines give density zero to some of the rows: none of them can be compared."
    if math.isinf(flow.nats):
        return f"{flow.name} gives density zero to {flow.impossible:,} rows; the {rival} does not: the baseline wins."
    if gap < 0:
        plainly = "A simpler model wins" if gap < -noise else "The flow is not better than a simpler model"
        nowhere = rival.endswith("given the context") or rival.startswith(("mixture of products", "independent"))
        other = "" if nowhere else f", or use the {rival}"  # of which there is a model to fit
        return f"{plainly}: the {rival} is {-gap:.3f} nats per row above {flow.name}. Train longer{other}."
    if gap <= noise:
        return f"{flow.name} is best, but by {gap:.3f} nats per row over the {rival}, which is within two standard errors: a tie."
    return f"{flow.name} is best: {gap:.3f} nats per row above the best baseline ({rival})."


def _beside_files(flow: Score, best: Score, rival: str) -> str:
    """The verdict on images, in bits per dimension beside the smallest files."""
    if math.isinf(flow.nats) or flow.bits_per_dim is None or best.bits_per_dim is None:
        return f"{flow.name} gives probability zero to {flow.impossible:,} images, which {rival} can store: the file format wins."
    gap = best.bits_per_dim - flow.bits_per_dim
    noise = 2 * _gap_error(flow, best) * abs(best.bits_per_dim / best.nats)
    if gap < -noise:
        return f"A file format wins: {rival} needs {-gap:.3f} bits per dim less than {flow.name}. Train longer."
    if gap <= noise:
        return f"{flow.name} and {rival} need the same number of bits, within two standard errors: a tie. Train longer."
    return f"{flow.name} needs {flow.bits_per_dim:.3f} bits per dim, {gap:.3f} less than the smallest files ({rival})."


def _gap_error(a: Score, b: Score) -> float:
    """Standard error of ``a.nats - b.nats``."""
    if a.per_row is None or b.per_row is None or a.impossible or b.impossible or len(a.per_row) != len(b.per_row):
        return math.hypot(a.stderr, b.stderr)
    return float((a.per_row - b.per_row).std() / math.sqrt(a.rows))
