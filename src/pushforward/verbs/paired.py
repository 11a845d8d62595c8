"""Fitted runs on the same held-out rows: what each reaches, and the differences row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..data import Rows
from ..data.contents import fingerprints
from ..evaluation import Score, entering, evaluate, settled, summarize
from ..subjects import subject_of
from ..training import Run
from .image_rows import check_png
from .runs import data_of, load, rows_of

MOST_SHOWN = 5_000  # rows in a picture, and samples of each run


@dataclass(frozen=True)
class Comparison:
    """The outcome of :func:`compare`.

    Attributes:
        scores: of each run, in the order given.
        differences: ``(mean, standard error)`` of each run's log-likelihood minus the first one's, row by row; of the first (0, 0).
        verdict: which is best, in a sentence.
    """

    scores: list[Score]
    differences: list[tuple[float, float]]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """As a dictionary that JSON can hold; a difference of infinite likelihoods is None."""
        pairs = [[value if np.isfinite(value) else None for value in pair] for pair in self.differences]
        return {"scores": [score.to_json() for score in self.scores], "differences": pairs, "verdict": self.verdict}


def compare(
    runs: Sequence[Run | str | Path], data: Any = None, out: str | Path | None = None, *, samples: int = 1, seed: int = 0
) -> Comparison:
    r"""Runs of the same columns on the same rows: the test rows of the first, or all rows of other data.

    The difference of two runs is :math:`\frac1N \sum_i \log p_a(x_i) - \log p_b(x_i)`. Its standard error is taken over these
    differences, since rows that are hard for one run are hard for the other; it is often far below the runs' own errors.

    Arguments:
        runs: two or more runs or their directories.
        data: held-out rows, as :func:`pushforward.evaluate` takes them; needed for runs that were fitted to data in memory.
        out: the picture to write, .png: the data beside samples of each run.
        samples: K, passes averaged for each row where a likelihood is not exact.
        seed: of noise and of samples.

    Raises:
        ValueError: fewer than two runs, runs of other columns, rows that a run was trained on, or a path that can't be written.

    Example::

        >>> compare(["runs/moons-nsf", "runs/moons-maf"]).verdict
        'moons-nsf is best: 0.021 ± 0.004 nats per row above moons-maf.'
    """
    if len(runs) < 2:
        raise ValueError(f"compare: expected at least two runs, got {len(runs)}; give another one beside it")
    check_png("compare", out)
    loaded = [load(run) for run in runs]
    first = loaded[0]
    for other in loaded[1:]:
        _check_columns(first, other)
    rows = data_of(first).test if data is None else rows_of(first, data)
    sets = [rows if run is first else subject_of(run).recoded(rows, first.schema) for run in loaded]
    for run, own in zip(loaded, sets):
        if run is not first or data is not None:
            _check_unseen(run, own, 0 if data is not None else _seen(first, rows))
    scores = [
        evaluate(run.flow, own, samples=samples, schema=run.schema, name=name, seed=seed)
        for run, own, name in zip(loaded, sets, _names(loaded))
    ]
    pairs = [_difference(score, scores[0], rows) for score in scores]
    if out is not None:
        plots.save(_picture(loaded, sets, scores, seed), out)
    return Comparison(scores, pairs, _best(scores, rows))


def _names(runs: Sequence[Run]) -> list[str]:
    """The directories' names; the whole paths where two are alike."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def _check_columns(first: Run, other: Run) -> None:
    """Raise ValueError unless a likelihood of the one is of the same thing as one of the other."""
    told = [subject_of(run).words() for run in (first, other)]
    if told[0] != told[1]:
        described = [", ".join(words) for words in told]
        raise ValueError(
            f"compare: {other.path} is of other columns ({described[1]}) than {first.path} ({described[0]}); fit both to the same ones"
        )


def _check_unseen(run: Run, rows: Rows, repeated: int) -> None:
    """Raise ValueError if a run was trained on more of the rows than are repeated in the first run's own training rows."""
    seen = _seen(run, rows)
    if seen > repeated:
        raise ValueError(
            f"compare: {seen:,} of {len(rows):,} rows are training rows of {run.path}; fit the runs with the same data and seed, "
            "or give rows that none of them was fitted to (--data)"
        )


def _seen(run: Run, rows: Rows) -> int:
    """How many of the rows are among a run's training rows, by content; 0 of data in memory, which can't be read again."""
    if run.request.in_memory:
        return 0
    return int(np.isin(fingerprints(rows), fingerprints(data_of(run).train)).sum())


def _difference(score: Score, other: Score, rows: Rows) -> tuple[float, float]:
    """Mean and standard error of ``score - other``, row by row."""
    assert score.per_row is not None and other.per_row is not None
    if score is other:
        return 0.0, 0.0
    with np.errstate(invalid="ignore"):  # both -inf: not a number
        found = summarize("", score.per_row - other.per_row, weight=rows.weight)
    return found.nats, found.stderr


def _best(scores: list[Score], rows: Rows) -> str:
    order = sorted(scores, key=lambda score: -score.nats)
    best, second = order[:2]
    if np.isinf(second.nats):
        lost = f"{second.name} gives density zero to {second.impossible:,} of {len(rows):,} rows"
        return f"{lost}; {'so does ' + best.name if np.isinf(best.nats) else best.name + ' to none'}."
    gap, error = _difference(best, second, rows)
    if gap <= 2 * error:
        return f"{best.name} and {second.name} are level: {gap:.3f} ± {error:.3f} nats per row, within two standard errors."
    return f"{best.name} is best: {gap:.3f} ± {error:.3f} nats per row above {second.name}."


def _picture(runs: Sequence[Run], sets: Sequence[Rows], scores: Sequence[Score], seed: int) -> Any:
    """The data beside samples of each run, each drawn for the context of one row."""
    some = np.random.default_rng(seed).permutation(len(sets[0]))[:MOST_SHOWN]
    drawn = {}
    for run, rows, score in zip(runs, sets, scores):
        _, context = entering(run.flow, rows.x[:1], rows.pick(some).context)
        with settled(run.flow, seed):
            x = run.flow.sample((len(some),)) if context is None else run.flow.sample((), context)
        drawn[score.name] = x.double().cpu().numpy()
    return subject_of(runs[0]).beside(sets[0].x[some].double().numpy(), drawn)
