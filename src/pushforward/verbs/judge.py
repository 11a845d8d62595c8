"""Judging a fitted run again: on its own test rows or on others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import doctor, evaluation
from ..data.doubts import without_repeated
from ..doctor import Diagnosis
from ..evaluation import Score, Surgery, surgery
from ..evaluation.surgery import the_vae
from ..models import TABLE_MODELS
from ..training import Run
from .runs import data_of, load, rows_of


def evaluate(run: Run | str | Path, data: Any = None, *, samples: int = 1, batch: int = 4096) -> Score:
    """The mean log-likelihood of the run's test rows, or of all rows of other data, in nats per row.

    Arguments:
        run: a run or its directory.
        data: a path, array or table with the run's columns; without it the run's own test split.
        samples: K, passes averaged for each row where the likelihood is not exact.
        batch: rows at a time.

    Raises:
        ValueError: the data don't fit the run, or can't be read again.

    Example::

        >>> score = evaluate("runs/moons-nsf")
        >>> f"{score.nats:.3f} +- {score.stderr:.3f}, {score.words()}"
        '-0.356 +- 0.003, exact'
    """
    run = load(run)
    rows = data_of(run).test if data is None else rows_of(run, data)
    return evaluation.evaluate(run.flow, rows, samples=samples, batch=batch, schema=run.schema, name=run.config["model"]["name"])


def bound_parts(run: Run | str | Path, data: Any = None, *, samples: int = 1, seed: int = 0) -> Surgery:
    """The bound of a fitted VAE taken apart: reconstruction, mutual information, divergence of the aggregated posterior from the prior.

    Arguments:
        run: a run or its directory.
        data: a path, array or table with the run's columns; without it the run's own test split.
        samples: K, for the posterior gap; 1 leaves it out.
        seed: of the draws.

    Raises:
        ValueError: a model without a VAE, or data that don't fit the run or can't be read again.

    Example::

        >>> found = bound_parts("runs/mnist-vae", samples=5000)
        >>> f"{found.mutual_information:.2f} of at most {found.cap:.2f} nats"
        '9.21 of at most 9.21 nats'
    """
    run = load(run)
    the_vae(run.flow)
    rows = data_of(run).test if data is None else rows_of(run, data)
    return surgery(run.flow, rows, draws=samples if samples > 1 else 0, seed=seed)


def diagnose(run: Run | str | Path, data: Any = None) -> Diagnosis:
    """What might be wrong with the fitted flow, layer by layer, in plain words; measured on test rows or on the data given.

    Raises:
        ValueError: the data don't fit the run, or can't be read again.
    """
    run = load(run)
    own = data_of(run) if data is None else None  # fit and doctor say the same of its columns
    rows, notes = (rows_of(run, data), None) if own is None else (own.test, own.notes)
    if notes is not None and run.config["model"]["name"] in TABLE_MODELS:
        notes = without_repeated(notes)
    return doctor.diagnose(run.flow, rows, run.schema, notes=notes)
