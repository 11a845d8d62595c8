"""Images larger than memory: decoded once to a file on disk that training reads window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .rows import Rows

SAMPLE_BYTES = 2**28  # of the images that stand for all in statistics and pictures, and of those that validate, and that test
SAMPLE_IMAGES = 10_000  # at most
WINDOW_BYTES = 2**30  # of images that are shuffled together


@dataclass(frozen=True)
class Spread:
    """Images in a file, and some of them in memory.

    Attributes:
        stored: all that train, in the file.
        sample: some of these.
        held: those that were held out, one split after the other.
    """

    stored: Rows
    sample: Rows
    held: list[Rows]

    @property
    def note(self) -> str:
        return (
            f"All {len(self.stored):,} training images are read from a file on disk, since they are many; {len(self.sample):,} of them "
            "stand for all in baselines and pictures."
        )


def spread(rows: Rows, seed: int, splits: int) -> Spread:
    """Hold images out of those in a file, for so many splits, at random; the last ones take their places in the file.

    Arguments:
        rows: in a file that nothing else writes on, ``x`` (N, C, H, W) uint8.
        seed: of which are held out.
    """
    rng = np.random.default_rng(seed)
    count, most = len(rows), max(1, min(SAMPLE_IMAGES, SAMPLE_BYTES // max(1, rows.x[0].numel())))
    each = min(most, count // 10)
    picked = rng.choice(count, splits * each, replace=False)
    held = [rows.pick(np.sort(part)) for part in np.split(picked, splits)] if splits else []
    left = count - splits * each
    holes = np.sort(picked[picked < left])
    movers = np.setdiff1d(np.arange(left, count), picked)
    order = np.arange(left)
    order[holes] = movers
    rows.x[torch.from_numpy(holes)] = rows.x[torch.from_numpy(movers)]
    context = None if rows.context is None else rows.context[torch.from_numpy(order)]
    stored = Rows(rows.x[:left], context, window=max(1, WINDOW_BYTES // max(1, rows.x[0].numel())))
    return Spread(stored, stored.pick(np.sort(rng.choice(left, min(most, left), replace=False))), held)


def merged(found: Spread, given: Sequence[Rows | None]) -> tuple[Rows, Rows]:
    """Validation and test rows: those that were given, and held-out ones for the others."""
    parts = iter(found.held)
    valid, test = (next(parts) if part is None else part for part in given)
    return valid, test
