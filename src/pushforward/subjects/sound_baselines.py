"""What a model of sounds has to beat: FLAC's file, and linear prediction."""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..evaluation import Score, summarize
from ..likelihoods import DiscretizedLogisticMixture

if TYPE_CHECKING:
    from ..data import Data, SoundSchema

ORDER = 32  # samples before, of which the next is predicted; FLAC's most
TIMES = 400_000  # of the training sounds that the prediction is fitted to, at most
SCALES = np.geomspace(1e-4, 2, 60)  # of the errors of the prediction that are tried, in half ranges


def sound_baselines(data: Data, schema: SoundSchema) -> list[Score]:
    """FLAC's size of the test windows, and a linear prediction of order 32 with logistic errors, both of the same levels.

    FLAC writes the levels as whole numbers (of 8 or 16 bits), all windows as one file; each window is told its share by its size alone.
    The prediction is fitted to training windows by least squares, its scale by their likelihood; a window begins in silence.

    Example::

        >>> [(score.name, round(score.bits_per_dim, 2)) for score in sound_baselines(data, data.schema)]
        [('linear prediction of order 32', 5.2), ('FLAC', 5.3)]
    """
    return sorted([_flac(data, schema), _prediction(data, schema)], key=lambda score: -score.nats)


def _flac(data: Data, schema: SoundSchema) -> Score:
    import soundfile

    bits = 8 if schema.levels <= 256 else 16
    levels = (data.test.x[:, 0].numpy().astype(np.int64) - schema.levels // 2).clip(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    pcm = (levels << (16 - bits)).astype(np.int16)

    def size(samples: np.ndarray) -> int:
        file = io.BytesIO()
        soundfile.write(file, samples, schema.rate, format="FLAC", subtype="PCM_S8" if bits == 8 else "PCM_16")
        return 8 * len(file.getvalue())

    empty = size(pcm[0, :1])
    each = np.array([max(1, size(window) - empty) for window in pcm], float)
    total = size(pcm.reshape(-1))
    how = f"bits of the file, {schema.levels:,} levels stored as {bits} bits"
    return summarize("FLAC", -math.log(2) * total * each / each.sum(), kind="code", dim=schema.dim, schema=schema, how=how)


def _prediction(data: Data, schema: SoundSchema) -> Score:
    start = time.perf_counter()
    windows = data.train.x[: max(1, TIMES // schema.window)]
    past, now = _delayed(windows, schema.levels)
    weights = torch.linalg.lstsq(past.flatten(0, 1), now.flatten().unsqueeze(1)).solution
    likelihood = DiscretizedLogisticMixture(schema.levels, 1, bound=12.0)

    def log_prob(x: Tensor, scale: float) -> Tensor:
        means = (_delayed(x, schema.levels)[0] @ weights).squeeze(2).unsqueeze(1)
        free = 12.0 * math.atanh(math.log(scale) / 12.0)
        h = torch.stack([torch.zeros_like(means), means, torch.full_like(means, free)], 1)
        return likelihood.log_prob(x.double(), h).flatten(1).sum(1)

    best = max(SCALES, key=lambda scale: float(log_prob(windows[:100], scale).sum()))
    found = torch.cat([log_prob(part, best) for part in data.test.x.split(100)])
    seconds = time.perf_counter() - start
    return summarize(f"linear prediction of order {ORDER}", found, dim=schema.dim, schema=schema, train_seconds=seconds)


def _delayed(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The samples before each, and 1, ``(N, T, ORDER + 1)``, and each, ``(N, T)``, as numbers in (-1, 1)."""
    now = (2 * x[:, 0].double() + 1) / levels - 1
    past = torch.nn.functional.pad(now, (ORDER, 0))[:, :-1].unfold(1, ORDER, 1)
    return torch.cat([past, torch.ones_like(past[:, :, :1])], 2), now
