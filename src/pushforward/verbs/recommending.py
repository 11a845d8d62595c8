"""Settings for data of which nothing but their shape is known; the choice rests on benchmarks/recommendation.py."""

from __future__ import annotations

from ..data import Data

FEW, SOME = 1_000, 5_000  # training rows from which the next larger net does better


def recommend(data: Data) -> tuple[str, str]:
    """A preset for these data, and a sentence that says why.

    Two columns or fewer get splines with many bins, since densities that are drawn have edges and thin arms; more columns get
    autoregressive splines whose nets grow with the number of training rows.

    Example::

        >>> recommend(load("wine"))[0]
        'tiny_table'
    """
    rows, columns = len(data.train), data.train.x.shape[1]
    if columns <= 2 and rows >= SOME:
        preset, why = "plane", "many bins, for edges and thin arms"
    elif rows < FEW:
        preset, why = "tiny_table", "a net of 8 units, since a larger one would learn so few rows by heart"
    elif rows < SOME:
        preset, why = "small_table", "a small net, since a larger one would learn so few rows by heart"
    else:
        preset, why = "table", "the best density on tables of this size"
    size = f"{rows:,} training rows of {columns} column{'s' * (columns != 1)}"
    discrete = sum(column.discrete for column in data.schema.columns)
    note = f"; {discrete} of them whole numbers, so likelihoods are lower bounds" if discrete else ""
    return preset, f"chosen for {size}{note}: preset {preset}, autoregressive splines with {why} (--model or --preset choose others)"
