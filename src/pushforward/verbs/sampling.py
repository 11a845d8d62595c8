"""Samples of a fitted run, in the columns and types of its data."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import latent
from ..data import ImageSchema
from ..data.context import context_rows
from ..data.errors import check_memory
from ..evaluation import settled
from ..training import Run
from .files import check_ending, write_tables
from .image_samples import sample_images
from .runs import load

BYTES = 16  # of a number that is drawn and decoded, at least


def sample(
    run: Run | str | Path,
    n: int = 1,
    out: str | Path | None = None,
    *,
    context: Any = None,
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
    if isinstance(run.schema, ImageSchema):
        return sample_images(run, n, out, context=context, temperature=degrees, seed=seed)
    if len(degrees) != 1:
        raise ValueError(f"sample: expected one temperature for a table, got {len(degrees)}; draw one table for each")
    if out is not None:
        check_ending("sample", Path(out))
    given = context_rows(run.schema, context)
    flow = run.flow
    if degrees[0] != 1:
        x = latent.sample(flow, n, degrees[0], given, seed=seed)
    else:
        with settled(flow, seed):
            x = flow.sample((n,), given)
    if given is None:
        table = run.schema.decode(x)
    else:
        x = x.transpose(0, 1).flatten(0, 1)  # (n, C, D) -> (C * n, D): one context after the other
        table = run.schema.decode_context(given.repeat_interleave(n, 0))
        samples = run.schema.decode(x)
        for name in samples.column_names:
            table = table.append_column(name, samples[name])
    if out is not None:
        write_tables(Path(out), [table])
    return table
