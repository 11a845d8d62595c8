"""Samples of a fitted run, in the columns and types of its data."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bulk import Engine, Job, Sampling, into_parts, seed_of, shards_to_draw
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
    engine: Engine = "local",
    workers: int = 1,
    progress: bool = False,
) -> Any:
    """``n`` samples as a table with the names and types of the data: whole numbers as integers, times as times.

    A conditional run needs a context: ``n`` samples are drawn for each of its rows, which stand before the samples as columns.
    A run of images gives an array ``(N, C, H, W)`` of whole numbers: see :func:`sample_images` for its order and its files.

    Arguments:
        run: a run or its directory.
        n: how many, for each context row.
        out: a file to write them to as well (.csv, .tsv, .parquet, .arrow, .feather, .npy; of images .png, .npy, .npz, .parquet or
            a folder). Of a table, a name without an ending is a folder of part files as :func:`score` makes them, for more samples
            than memory holds; it is then the result, as a ``pyarrow.dataset.Dataset``.
        context: ``{"origin": "JFK"}`` or ``{"origin": ["JFK", "LGA"]}``, a list of such rows, or a
            path, table or frame with the columns.
        given: values of some of the data's own columns, ``{"carat": 1, "cut": ["Ideal", "Fair"]}`` or rows with them: ``n`` samples of all
            columns are drawn for each, exactly from an ``any_order`` model, by weighted samples from other flows. A mapping may hold the
            context too.
        temperature: the factor of the latents: below 1 samples crowd around the middle. Of images several may be given.
        seed: of the samples; the same seed gives the same table, none another one at each call (but for a folder that is gone on with).
        engine, workers, progress: of a folder of part files, as in :func:`score`.

    Raises:
        ValueError: a context is missing, or not one that the run knows; a temperature that the base has not; a file that can't be written.

    Example::

        >>> sample("runs/flights-nsf", 1000, context={"origin": ["EWR", "JFK", "LGA"]}).shape
        (3000, 5)
    """
    run = load(run)
    if context is None and isinstance(given, dict):
        seen = {column.name for column in getattr(run.schema, "context", ())}
        context = {name: value for name, value in given.items() if name in seen} or None
        given = {name: value for name, value in given.items() if name not in seen} or None
    if n < 1:
        raise ValueError(f"sample: expected a number of samples of at least 1, got {n}")
    degrees = [float(degree) for degree in temperature] if isinstance(temperature, Sequence) else [float(temperature)]
    if out is not None and into_parts("sample", run, out, engine, workers):
        if given is not None:
            raise ValueError("sample: rows with given values go to one file; use -o FILE.parquet")
        begun = seed_of(Path(out)) if seed is None else seed
        drawing = Sampling(secrets.randbelow(2**31) if begun is None else begun, context, tuple(degrees))
        job = Job(run, drawing, shards_to_draw(n), Path(out))
        return job.run(engine_name=engine, workers=workers, progress=progress).dataset()
    seed = secrets.randbelow(2**31) if seed is None else seed
    dim = math.prod(run.schema.shape)
    check_memory(
        f"sample: {n:,} samples of {dim:,} numbers", BYTES * n * dim, "draw fewer at a time, or rows of a table into a folder: -o FOLDER"
    )
    if given is not None:
        if degrees != [1.0]:
            raise ValueError("sample: a temperature and given values don't go together; leave one of them out")
        return subject_as("sample", run, TableSubject).sample_given(run, n, out, given=given, context=context, seed=seed)
    return subject_of(run).sample(run, n, out, context=context, temperature=degrees, seed=seed)
