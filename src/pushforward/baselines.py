"""What a fitted flow has to beat: Gaussians, mixtures and independent columns, given the context too; for images, their files."""

from __future__ import annotations

import copy
import io
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .core import Chain, Transform
from .evaluation import Score, summarize

if TYPE_CHECKING:
    from .data import Data, ImageSchema, Rows

Density = Callable[[np.ndarray], np.ndarray]  # (N, D) -> (N,) log densities

COMPONENTS = (1, 2, 5, 10, 20, 50)
ROWS, NUMBERS = 40_000, 400_000  # at most so many rows, and rows times columns, for a mixture: 40,000 of 10 columns take about 20 s
BINS = (8, 16, 32, 64, 128, 256, 512, 1024)
FORMATS: dict[str, dict[str, Any]] = {"PNG": {"optimize": True}, "WebP": {"lossless": True}}  # as Pillow writes them
SMALL_IMAGE = 256  # numbers of an image below which most of its file is headers and tables, not pixels
STORED = 2**25  # numbers of images that are written, at most: 10,000 of CIFAR's take about 15 s
TAIL = 0.01  # the share of a marginal that is a wide Gaussian, so that no value is impossible
RIDGES = (1e-6, 1e-3, 1e-1, 1e1)  # of a linear regression on the context, as shares of the rows
FLOOR = 1e-6  # added to the variance of a component, in standardized columns


def baselines(data: Data, layers: Sequence[Transform], *, samples: int = 1, seed: int = 0) -> list[Score]:
    """Simple densities fitted to the same train split behind the same preprocessing, scored on the same test split.

    One Gaussian of full covariance; a Gaussian mixture of full covariances whose number of components, 1 to 50, is chosen by
    validation; independent columns, each a frequency polygon whose number of bins is chosen by validation. All see the data
    as the flow's first layers hand them on, and the log-dets of these layers are added, so that the figures stand beside the
    flow's in the same units. Integers are dequantized once to fit and ``samples`` times to score, as the flow's are.

    They ignore a context, and say so in their names. Where there is one, two that use it stand beside them: a Gaussian whose mean is
    linear in the context, and a mixture of such. Weighted rows are resampled in proportion to their weights. Cost: seconds;
    tables of more than 40,000 rows or 400,000 numbers are subsampled for the mixture, which then names the rows it saw.

    Arguments:
        data: the splits, in data units.
        layers: the preprocessing, ``data.schema.layers()``.
        samples: K, for the bound on dequantized data.
        seed: of dequantization, of the mixture's start and of subsampling.

    Example::

        >>> [(s.name, s.nats) for s in baselines(data, data.schema.layers())]
        [('Gaussian mixture, 50 components', -11.24), ('Gaussian', -12.75), ('independent columns', -12.77)]
    """
    chain = Chain(*layers)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        given = [_features(data, split) for split in (data.train, data.valid, data.test)]
        train, valid = (
            _resampled(np.hstack([c, _prepared(chain, split)[0]]), split.weight, seed) for c, split in zip(given, (data.train, data.valid))
        )
        passes = [_prepared(chain, data.test) for _ in range(1 if chain.exact else samples)]
    width = given[0].shape[1]
    note = " (ignores the context)" if width else ""
    kind = "exact" if chain.exact else "bound"
    scores = []
    for fit in (gaussian_mixture, gaussian, independent, *((linear_experts, linear_gaussian) if width else ())):
        start = time.perf_counter()
        uses = fit in (linear_experts, linear_gaussian)
        name, density = fit(train, valid, width, seed) if uses else fit(train[:, width:], valid[:, width:], seed)
        name = name if uses else name + note
        seconds = time.perf_counter() - start
        terms = torch.stack([torch.as_tensor(density(np.hstack([given[2], z]) if uses else z)) + ldj for z, ldj in passes])
        log_prob = terms.logsumexp(0) - math.log(len(passes))
        options = {"kind": kind, "samples": len(passes), "dim": train.shape[1] - width, "schema": data.schema, "train_seconds": seconds}
        scores.append(summarize(name, log_prob, weight=data.test.weight, **options))
    return scores


def files(rows: Rows, schema: ImageSchema) -> list[Score]:
    """The sizes of images as lossless PNG and WebP files, each image a file, in bits of all its bytes, headers too.

    A code of b bits is worth a probability of 2^-b, so these stand beside likelihoods. Pixels are stored as they are, as bytes: of
    5 bits only the numbers 0..31 occur, which the formats make use of as far as they can.

    Arguments:
        rows: the test images.
        schema: of the data; formats know 1 or 3 channels, others give no scores, nor do images of fewer than 256 numbers, whose files are
            mostly headers and tables: see :func:`no_files`.

    Example::

        >>> [(s.name, s.bits_per_dim) for s in files(data.test, data.schema)]
        [('WebP', 2.04), ('PNG', 2.72)]
    """
    from PIL import Image, features

    if no_files(schema):
        return []
    some = rows.x[: max(20, STORED // schema.dim)]
    note = "" if len(some) == len(rows) else f" (of the first {len(some):,} images)"
    how = "bits of the file, lossless" + ("" if schema.levels == 256 else f", {schema.levels} levels stored as bytes")
    scores = []
    for name, options in FORMATS.items():
        if name == "WebP" and not features.check("webp"):
            continue
        bits = np.empty(len(some))
        for i, image in enumerate(some.to(torch.uint8).numpy()):
            buffer = io.BytesIO()
            pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
            Image.fromarray(pixels).save(buffer, name, **options)
            bits[i] = 8 * len(buffer.getvalue())
        scores.append(summarize(name + note, -bits * math.log(2), kind="code", dim=schema.dim, schema=schema, how=how))
    return sorted(scores, key=lambda score: -score.nats)


def no_files(schema: ImageSchema) -> str:
    """Why images do not stand beside their files, in words; empty if they do."""
    if schema.shape[0] not in (1, 3):
        return f"no file format has {schema.shape[0]} channels"
    return f"files of images of {schema.dim} numbers are mostly headers" if schema.dim < SMALL_IMAGE else ""


def gaussian(train: np.ndarray, valid: np.ndarray, seed: int = 0) -> tuple[str, Density]:
    """The Gaussian with the mean and covariance of the train split."""
    return "Gaussian", _mixture(train, 1, seed).score_samples


def gaussian_mixture(train: np.ndarray, valid: np.ndarray, seed: int = 0) -> tuple[str, Density]:
    """Mixtures of more and more components, fitted by EM; the one that validation likes best, until it has worsened twice."""
    best, how = _chosen(train, seed, lambda mixture: mixture.score(valid))
    return f"Gaussian mixture, {_count(best.n_components, 'component')}{how}", best.score_samples


def linear_gaussian(train: np.ndarray, valid: np.ndarray, width: int, seed: int = 0) -> tuple[str, Density]:
    """A Gaussian of full covariance, its mean linear in the context, which is the first ``width`` columns.

    Ridge regression in closed form, ``W = (C'C + ridge n 1)^-1 C'X`` of centred columns; the ridge is chosen by validation.
    """
    middle = train.mean(0)
    c, x = np.split(train - middle, [width], 1)

    def density(ridge: float) -> Density:
        slope = np.linalg.solve(c.T @ c + ridge * len(c) * np.eye(width), c.T @ x)
        root = np.linalg.cholesky((x - c @ slope).T @ (x - c @ slope) / len(x) + FLOOR * np.eye(x.shape[1]))

        def log_density(rows: np.ndarray) -> np.ndarray:
            given, values = np.split(rows - middle, [width], 1)
            z = np.linalg.solve(root, (values - given @ slope).T)
            return -0.5 * (z**2).sum(0) - np.log(np.diag(root)).sum() - 0.5 * x.shape[1] * math.log(2 * math.pi)

        return log_density

    best = max((density(ridge) for ridge in RIDGES), key=lambda candidate: candidate(valid).mean())
    return "linear Gaussian given the context", best


def linear_experts(train: np.ndarray, valid: np.ndarray, width: int, seed: int = 0) -> tuple[str, Density]:
    """A mixture of linear Gaussians given the context, which is the first ``width`` columns, with Gaussian gates.

    A Gaussian mixture of context and values together, by EM, over its marginal of the context: ``p(x | c) = p(c, x) / p(c)`` has experts
    whose means are linear in c. The number of experts is chosen by validation, of ``p(x | c)``.

    Reference: An Alternative Model for Mixtures of Experts, Xu, Jordan, Hinton, 1995, NIPS 7.
    """

    def density(joint: Any) -> Density:
        gate = copy.copy(joint)
        gate.means_, gate.covariances_ = joint.means_[:, :width], joint.covariances_[:, :width, :width]
        gate.n_features_in_, gate.precisions_cholesky_ = width, np.linalg.inv(np.linalg.cholesky(gate.covariances_)).transpose(0, 2, 1)
        return lambda rows: joint.score_samples(rows) - gate.score_samples(rows[:, :width])

    best, how = _chosen(train, seed, lambda joint: density(joint)(valid).mean())
    return f"mixture of {_count(best.n_components, 'linear Gaussian')} given the context{how}", density(best)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"


def _chosen(train: np.ndarray, seed: int, judge: Callable[[Any], float]) -> tuple[Any, str]:
    """The mixture that is judged best, until it has worsened twice, and in words which rows it saw, if not all."""
    rows = min(len(train), ROWS, max(2_000, NUMBERS // train.shape[1]))
    seen = train if rows == len(train) else train[np.random.default_rng(seed).permutation(len(train))[:rows]]
    best, best_score, worse = None, -math.inf, 0
    for components in COMPONENTS:
        if components > len(seen):
            break
        mixture = _mixture(seen, components, seed)
        score = judge(mixture)
        if score > best_score:
            best, best_score, worse = mixture, score, 0
        else:
            worse += 1
            if worse == 2:
                break
    assert best is not None
    return best, "" if seen is train else f" (fitted to {rows:,} of {len(train):,} rows)"


def independent(train: np.ndarray, valid: np.ndarray, seed: int = 0) -> tuple[str, Density]:
    """The product of the columns' own densities."""
    columns = [_polygon(t, v) for t, v in zip(train.T, valid.T)]
    return "independent columns", lambda z: np.sum([density(column) for density, column in zip(columns, z.T)], 0)


def _mixture(z: np.ndarray, components: int, seed: int):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a hundred steps of EM are enough for a baseline
        return GaussianMixture(components, reg_covar=FLOOR, init_params="k-means++", max_iter=100, random_state=seed).fit(z)


def _polygon(train: np.ndarray, valid: np.ndarray) -> Density:
    """A frequency polygon (a histogram with its midpoints joined; it integrates to 1 exactly) and a little of a wide Gaussian."""
    mean, wide = train.mean(), 3 * train.std() + 1e-12

    def density(bins: int) -> Density:
        heights, edges = np.histogram(train, bins, density=True)
        width = edges[1] - edges[0]
        knots = np.concatenate([edges - width / 2, [edges[-1] + width / 2]])
        heights = np.concatenate([[0.0], heights, [0.0]])

        def log_density(z: np.ndarray) -> np.ndarray:
            tail = np.exp(-0.5 * ((z - mean) / wide) ** 2) / (wide * math.sqrt(2 * math.pi))
            return np.log((1 - TAIL) * np.interp(z, knots, heights, 0.0, 0.0) + TAIL * tail + 1e-300)

        return log_density

    return max((density(bins) for bins in BINS), key=lambda candidate: candidate(valid).mean())


def _features(data: Data, rows: Rows) -> np.ndarray:
    """The context as the flow's nets see it, ``(N, width)``; no columns without one."""
    embed = data.schema.embed()
    return np.empty((len(rows), 0)) if embed is None or rows.context is None else embed(rows.context).double().numpy()


def _prepared(chain: Chain, rows: Rows) -> tuple[np.ndarray, Tensor]:
    """Rows behind the preprocessing, float64 ``(N, D)``, and its log-det."""
    z, ldj = chain(rows.x.double())
    return z.double().flatten(1).numpy(), ldj.double()


def _resampled(z: np.ndarray, weight: Tensor | None, seed: int) -> np.ndarray:
    if weight is None:
        return z
    share = weight.double().numpy() / weight.double().sum().item()
    return z[np.random.default_rng(seed).choice(len(z), len(z), p=share)]
