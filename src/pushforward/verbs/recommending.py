"""Settings for data of which nothing but their shape is known; the choice rests on benchmarks/recommendation.py."""

from __future__ import annotations

from ..data import Data

FEW, SOME = 1_000, 2_000  # training rows from which the next larger net does better
MANY = 32  # columns from which couplings do better in the same time


def recommend(data: Data) -> tuple[str, str]:
    """A preset for these data, and a sentence that says why.

    Two columns or fewer get splines with many bins, since densities that are drawn have edges and thin arms; more columns get
    autoregressive splines whose nets grow with the number of training rows, and very many columns get couplings.

    Example::

        >>> recommend(load("wine"))[0]
        'tiny_table'
    """
    rows, columns = len(data.train), data.train.x.shape[1]
    if columns <= 2 and rows >= SOME:
        preset, why = "plane", "autoregressive splines with many bins, for edges and thin arms"
    elif rows < FEW:
        preset, why = "tiny_table", "autoregressive splines with a net of 8 units, since a larger one would learn so few rows by heart"
    elif columns >= MANY:
        preset, why = "fast_sampling", "couplings, whose steps do not slow down with the number of columns"
    elif rows < SOME:
        preset, why = "small_table", "autoregressive splines with a small net, since a larger one would learn so few rows by heart"
    else:
        preset, why = "table", "autoregressive splines, the best density on tables of this size"
    size = f"{rows:,} training rows of {columns} column{'s' * (columns != 1)}"
    discrete = sum(column.discrete for column in data.schema.columns)
    note = f"; {discrete} of them whole numbers, so likelihoods are lower bounds" if discrete else ""
    return preset, f"chosen for {size}{note}: preset {preset}, {why} (--model or --preset choose others)"
