"""Samples of a fitted run, in the columns and types of its data."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.errors import check_memory
from ..subjects import TableSubject, subject_of
from ..training import Run
from .runs import load, subject_as

BYTES = 16  # of a number that is drawn and decoded, at least


def sample(
    run: Run | str | Path,
    n: int = 1,
    out: str | Path | None = None,
    *,
    context: Any = None,
    given: Any = None,
    temperature: float | Sequence[float] = 1.0,
    seed: int | None = None,
) -> Any:
    """``n`` samples as a table with the names and types of the data: whole numbers as integers, times as times.

    A conditional run needs a context: ``n`` samples are drawn for each of its rows, which stand before the samples as columns.
    A run of images gives an array ``(N, C, H, W)`` of whole numbers: see :func:`sample_images` for its order and its files.

    Arguments:
        run: a run or its directory.
        n: how many, for each context row.
        out: a file to write them to as well (.csv, .tsv, .parquet, .arrow, .feather, .npy; of images .png, .npy, .npz, .parquet or
            a folder).
        context: ``{"origin": "JFK"}`` or ``{"origin": ["JFK", "LGA"]}``, a list of such rows, or a
            path, table or frame with the columns.
        given: values of some of the data's own columns, ``{"carat": 1, "cut": ["Ideal", "Fair"]}`` or rows with them: ``n`` samples of all
            columns are drawn for each, exactly from an ``any_order`` model, by weighted samples from other flows.
        temperature: the factor of the latents: below 1 samples crowd around the middle. Of images several may be given.
        seed: of the samples; the same seed gives the same table, none another one at each call.

    Raises:
        ValueError: a context is missing, or not one that the run knows; a temperature that the base has not; a file that can't be written.

    Example::

        >>> sample("runs/flights-nsf", 1000, context={"origin": ["EWR", "JFK", "LGA"]}).shape
        (3000, 5)
    """
    run = load(run)
    seed = secrets.randbelow(2**31) if seed is None else seed
    if n < 1:
        raise ValueError(f"sample: expected a number of samples of at least 1, got {n}")
    dim = math.prod(run.schema.shape)
    check_memory(f"sample: {n:,} samples of {dim:,} numbers", BYTES * n * dim, "draw fewer at a time, each time with another seed")
    degrees = [float(degree) for degree in temperature] if isinstance(temperature, Sequence) else [float(temperature)]
    if given is not None:
        if degrees != [1.0]:
            raise ValueError("sample: a temperature and given values don't go together; leave one of them out")
        return subject_as("sample", run, TableSubject).sample_given(run, n, out, given=given, context=context, seed=seed)
    return subject_of(run).sample(run, n, out, context=context, temperature=degrees, seed=seed)
