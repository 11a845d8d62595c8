"""Real numbers in bins of one width: normals and mixtures of normals as distributions of whole numbers."""

from __future__ import annotations

import math

import numpy as np
import torch

from .coder import Coder
from .digits import by_digits

BIN_COUNT = 2**16  # of which the middle one begins at 0; the outermost hold all that is beyond
NARROW_STEP = 0.1  # in standard deviations


def middles(bins: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The numbers in the middle of bins."""
    return (bins - (BIN_COUNT // 2 - 0.5)) * width


def by_normal(coder: Coder, mean: np.ndarray, std: np.ndarray, width: np.ndarray, bins: np.ndarray | None) -> np.ndarray:
    """Bins of the given widths for each of n normals, int64 ``(n,)``, each by the mass of its normal."""

    def below(k: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # of nets that overflow, which counts as no mass at all
            return rising(log_masses((_edges(k, width) - mean[:, None]) / std[:, None]))

    return by_digits(coder, BIN_COUNT, below, bins, len(mean))


def by_mixture(
    coder: Coder, log_weights: np.ndarray, means: np.ndarray, stds: np.ndarray, width: np.ndarray, bins: np.ndarray | None, rows: int
) -> np.ndarray:
    """Bins of D numbers, int64 ``(rows, D)``, by a mixture of K diagonal normals, one number after the other given those before.

    Arguments:
        coder: writes or reads.
        log_weights: of the components, ``(K,)``.
        means, stds: of each, ``(K, D)``.
        width: of the bins of each number, ``(D,)``.
        bins: if they are known, ``(rows, D)``.
        rows: how many there are.
    """
    found = np.zeros((rows, means.shape[1]), np.int64)
    seen = np.repeat(log_weights[None], rows, 0)
    for i in range(means.shape[1]):

        def below(k: np.ndarray, i: int = i, seen: np.ndarray = seen) -> np.ndarray:
            edges = (_edges(k, width[i : i + 1])[:, None] - means[:, i, None]) / stds[:, i, None]
            logs = log_masses(edges.reshape(-1, k.shape[1])).reshape(*edges.shape[:2], -1) + seen[..., None]
            return rising(np.logaddexp.reduce(logs, 1))

        found[:, i] = by_digits(coder, BIN_COUNT, below, None if bins is None else bins[:, i], rows)
        own = np.stack([found[:, i], found[:, i] + 1], 1)
        edges = (_edges(own, width[i : i + 1])[:, None] - means[:, i, None]) / stds[:, i, None]
        seen = seen + log_masses(edges.reshape(-1, 2)).reshape(seen.shape)
    return found


def log_masses(u: np.ndarray) -> np.ndarray:
    """Log of the standard normal's mass between neighbours of rising u, ``(n, Q + 1) -> (n, Q)``, to a relative 1e-6 or better.

    Of narrow steps by the density in their middles, of others by differences in the left tail or its mirror image: differences of
    distribution functions that are nearly equal have lost their digits, and would tell machines apart that differ in the last one.
    """
    left, right = u[:, :-1], u[:, 1:]
    mirrored = left > 0
    differences = 0.5 * (_erfc(np.where(mirrored, -left, right)) - _erfc(np.where(mirrored, -right, left)))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        step = right - left
        narrow = step < NARROW_STEP
        middle, step = np.where(narrow, (left + right) / 2, 0.0), np.where(narrow, step, 1.0)
        density = -0.5 * middle**2 + np.log1p((middle**2 - 1) * step**2 / 24) - 0.5 * math.log(2 * math.pi)
        return np.where(narrow, density + np.log(step), np.log(differences))


def _erfc(u: np.ndarray) -> np.ndarray:
    return torch.erfc(torch.from_numpy(u * -math.sqrt(0.5))).numpy()


def rising(logs: np.ndarray) -> np.ndarray:
    """A distribution function up to a factor at the Q + 1 ends of symbols with these log masses; of none where all are zero."""
    most = logs.max(1, keepdims=True)
    masses = np.exp(logs - np.where(np.isfinite(most), most, 0.0))
    return np.concatenate([np.zeros((len(logs), 1)), masses.cumsum(1)], 1)


def _edges(k: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The lower edges of bins k ``(n, Q)``, infinite at both ends."""
    inner = (k - BIN_COUNT // 2) * width[:, None]
    return np.where(k <= 0, -np.inf, np.where(k >= BIN_COUNT, np.inf, inner))
