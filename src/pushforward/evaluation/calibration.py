"""Whether a fitted flow is as sure as it should be: coverage of intervals, ranks of data among samples, and balls around anything."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..core import Distribution
from ..documents import validated
from ..transforms import Support
from ..words import listing
from .likelihood import entering, settled

if TYPE_CHECKING:
    from ..data import Rows

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # of the central intervals
SPOKEN = (0.5, 0.8, 0.9, 0.95)  # those that are spoken of
RANK_BINS = 20  # of the histogram of ranks
DRAWS, GIVEN_ROWS = 99, 1000  # samples for each row, and rows at most, of a conditional flow
SHARED, FEWEST_DRAWS, FREE_ROWS = (
    10,
    1000,
    20_000,
)  # of any other: samples for each row, all of them shared; at least; most
FIRST = 2  # rows whose samples are drawn before a look at the clock
SECONDS = 3.0  # of drawing
FEWEST_ROWS = 20
SIGNIFICANT, WORTH_A_WORD = 4.0, 0.03  # standard errors; share of rows


@dataclass(frozen=True)
class Ranks:
    """How the ranks u of held-out values among samples are spread over 0..1; uniformly, if the flow is calibrated.

    Attributes:
        name: of the column.
        coverage: the share of rows within the central interval of each of ``LEVELS``.
        counts: the share of ranks in each of 20 equal bins.
        mean: of u; 1/2 if calibrated, less if samples lie too high.
        noise: that of this column, where it has gaps: of fewer rows.
    """

    name: str
    coverage: list[float]
    counts: list[float]
    mean: float
    noise: float | None = None

    def at(self, level: float) -> float:
        """The coverage of one of ``LEVELS``."""
        return self.coverage[LEVELS.index(level)]


@dataclass(frozen=True)
class Calibration:
    r"""Ranks of held-out rows among a flow's samples.

    Attributes:
        rows: that were ranked.
        draws: samples that each was ranked among.
        noise: the variance of a mean over u is :math:`\sigma^2` times this: ``sum w^2`` over the rows' weights, ``1 / rows`` without,
            and ``1 / draws`` more where all rows share their samples.
        columns: by column, categories left out; the ranks of simulation-based calibration, if the flow is conditional.
        joint: of all columns at once by TARP, of a conditional flow; of those that are numbers and have no gaps.
    """

    rows: int
    draws: int
    noise: float
    columns: list[Ranks]
    joint: Ranks | None = None

    def stderr(self, level: float, ranks: Ranks | None = None) -> float:
        """Binomial standard error of a coverage, ``sqrt(q (1 - q) noise)``; of these ranks, if they are of fewer rows."""
        return math.sqrt(level * (1 - level) * self._noise(ranks))

    def _noise(self, ranks: Ranks | None) -> float:
        return self.noise if ranks is None or ranks.noise is None else ranks.noise

    def fault(self, ranks: Ranks) -> str:
        """What is wrong with these ranks, by more than four standard errors and three rows in a hundred; empty if nothing is."""
        off = [(ranks.at(level) - level, self.stderr(level, ranks)) for level in SPOKEN]
        signs = {gap > 0 for gap, error in off if abs(gap) > max(WORTH_A_WORD, SIGNIFICANT * error)}
        found = ["of another shape" if len(signs) == 2 else "too wide" if signs == {True} else "too narrow"] if signs else []
        shift = ranks.mean - 0.5
        if abs(shift) > max(WORTH_A_WORD, SIGNIFICANT * math.sqrt(self._noise(ranks) / 12)):
            found.append("too high" if shift < 0 else "too low")
        return " and ".join(found)

    def words(self) -> str:
        """The outcome in a sentence, with the columns that are off by the way they are."""
        mean, error = 100 * float(np.mean([ranks.at(0.9) for ranks in self.columns])), f"± {100 * self.stderr(0.9):.1f}"
        words = f"90 % intervals hold {mean:.1f} % of {self.rows:,} rows"
        words += f" on average over {len(self.columns)} columns ({error} each)" if len(self.columns) > 1 else f" ({error})"
        found: dict[str, list[str]] = {}
        for ranks in sorted(self.columns, key=lambda ranks: ranks.at(0.9)):
            found.setdefault(self.fault(ranks), []).append(f"{ranks.name} ({100 * ranks.at(0.9):.1f} %)")
        faults = [f"samples {fault}: {listing(names, 3)}" for fault, names in found.items() if fault]
        if self.joint is not None and self.fault(self.joint):
            faults.append("balls around other rows (TARP) do not hold what they should")
        return f"not calibrated: {words}; {'; '.join(faults)}" if faults else f"calibrated: {words}"

    def to_json(self) -> dict[str, Any]:
        """As a dictionary that JSON can hold."""
        return asdict(self) | {"levels": LEVELS, "stderr": [self.stderr(level) for level in LEVELS], "words": self.words()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Calibration:
        """The opposite of :meth:`to_json`.

        Raises:
            ValueError: something is missing or of another type.
        """
        return validated(cls, found, "calibration")


@torch.no_grad()
def calibration(
    flow: Distribution,
    rows: Rows,
    names: Sequence[str] | None = None,
    *,
    supports: Sequence[Support] | None = None,
    seconds: float = SECONDS,
    seed: int = 0,
) -> Calibration | None:
    r"""Ranks of held-out rows among samples of the flow, given each row's own context.

    The rank of a value x among L draws is :math:`u = (\#\{x^l < x\} + v (1 + \#\{x^l = x\})) / (L + 1)` with v uniform, which is
    uniform on 0..1 if x and the draws come from the same distribution, whatever L and also for whole numbers. From it follow, by column,

    - the coverage of the central interval of level q, the share of rows with :math:`|u - 1/2| \le q/2`, expected q;
    - simulation-based calibration: the histogram of u, expected flat. A bowl: samples are too narrow; a hump: too wide; a slope: shifted.

    TARP does the same for all columns together: what is ranked are the distances to a reference point, here another held-out row, with
    columns divided by their standard deviations. A necessary test, not a sufficient one: an unconditional flow can pass it.

    A conditional flow draws 99 samples for each of up to 1,000 rows; any other 10 for each row, up to 20,000 samples and rows, and all
    rows share them. Where values may be missing, those that are there are ranked among draws that are there.
    Drawing ends after ``seconds``, with as many rows (or samples) as it got to: slow samplers judge by fewer.

    Arguments:
        flow: the model, of vectors.
        rows: held-out rows in data units.
        names: of the columns.
        supports: what the columns' numbers may be: those without an order have no ranks, and NaN may mean missing; any numbers by default.
        seconds: of drawing, about.
        seed: of samples, references and v.

    Returns:
        None where there are fewer than 20 rows or no numbers, or draws that are not numbers.

    References: Validating Bayesian Inference Algorithms with Simulation-Based Calibration, Talts, Betancourt, Simpson, Vehtari, Gelman,
    2018, arXiv:1804.06788; Sampling-Based Accuracy Testing of Posterior Estimators for General Inference, Lemos, Coogan, Hezaveh,
    Perreault-Levasseur, 2023, arXiv:2302.03026.

    Example::

        >>> calibration(flow, data.test, data.schema.names).words()
        'calibrated: 90 % intervals hold 90.3 % of 1,000 rows on average over 2 columns (± 0.9 each)'
    """
    if len(rows) < FEWEST_ROWS:
        return None
    given = rows.context is not None and flow.context_shape is not None
    random = np.random.default_rng(seed)
    rows = rows.pick(random.permutation(len(rows))[: GIVEN_ROWS if given else FREE_ROWS])
    x = rows.x.double().cpu().numpy()
    names = names or [f"column {i}" for i in range(x.shape[1])]
    with settled(flow, seed):
        draws = np.concatenate(list(_conditional(flow, rows, seconds) if given else _shared(flow, rows, seconds)))
    supports = supports or [Support()] * x.shape[1]
    ranked = [i for i, support in enumerate(supports) if support.ordered]
    whole = [i for i in ranked if not supports[i].missing]
    if np.isinf(draws[..., ranked]).any() or np.isnan(draws[..., whole]).any():
        return None
    x, w = (x[: len(draws)], _weights(rows)[: len(draws)]) if given else (x, _weights(rows))
    count = DRAWS if given else len(draws)
    noise = _noise_of(w, math.inf if given else count)
    columns = []
    for i in ranked:
        there, drawn = ~np.isnan(x[:, i]), draws[..., i]
        u, counts = _rank(x[there, i], drawn[there] if given else drawn, random)
        there[there] = counts > 0
        if there.sum() < min(FEWEST_ROWS, len(x)):
            continue
        own = None if there.all() and (counts == count).all() else _noise_of(w[there], math.inf if given else float(counts.max()))
        columns.append(_ranks(names[i], u[counts > 0], w[there] / w[there].sum(), own))
    if not columns:
        return None
    joint = None
    if given and whole:
        x, draws = x[:, whole], draws[..., whole]
        reference, scale = np.roll(x, 1, 0), np.where(x.std(0) > 0, x.std(0), 1.0)
        far = np.linalg.norm((x - reference) / scale, axis=1)
        drawn = np.linalg.norm((draws - reference[:, None]) / scale, axis=2)
        joint = _ranks("all columns", _rank(far, drawn, random)[0], w / w.sum())
    return Calibration(len(x), count, noise, columns, joint)


def _weights(rows: Rows) -> np.ndarray:
    return np.ones(len(rows)) if rows.weight is None else rows.weight.double().cpu().numpy()


def _noise_of(w: np.ndarray, shared: float) -> float:
    """The variance of a mean with these weights, of samples that all rows share, in units of that of a value."""
    return float((w**2).sum() / w.sum() ** 2) + 1 / shared


def _rank(x: np.ndarray, draws: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The ranks u of values ``(n,)`` among draws that are there, their own ``(n, L)`` or shared ones ``(L,)``; how many these are."""
    if draws.ndim == 2:
        less, equal, counts = (draws < x[:, None]).sum(1), (draws == x[:, None]).sum(1), (~np.isnan(draws)).sum(1)
    else:
        ascending = np.sort(draws[~np.isnan(draws)])
        less, upto = (np.searchsorted(ascending, x, side) for side in ("left", "right"))
        equal, counts = upto - less, np.full(len(x), len(ascending))
    return (less + random.random(less.shape) * (1 + equal)) / (counts + 1), counts


def _ranks(name: str, u: np.ndarray, w: np.ndarray, noise: float | None = None) -> Ranks:
    coverage = [float(w[np.abs(u - 0.5) <= level / 2].sum()) for level in LEVELS]
    counts = np.histogram(u, RANK_BINS, (0, 1), weights=w)[0].tolist()
    return Ranks(name, coverage, counts, float(w @ u), noise)


def _conditional(flow: Distribution, rows: Rows, seconds: float) -> Iterator[np.ndarray]:
    """Draws ``(n, L, D)`` for more and more rows."""
    _, context = entering(flow, rows.x[:1], rows.context)
    assert context is not None
    for start, stop in _growing(len(rows), seconds):
        yield _numpy(flow.sample((DRAWS,), context[start:stop]).transpose(0, 1))


def _shared(flow: Distribution, rows: Rows, seconds: float) -> Iterator[np.ndarray]:
    """Draws ``(n, D)``, more and more."""
    for start, stop in _growing(min(max(FEWEST_DRAWS, SHARED * len(rows)), FREE_ROWS), seconds, first=FIRST * DRAWS):
        yield _numpy(flow.sample((stop - start,)))


def _growing(total: int, seconds: float, first: int = FIRST) -> Iterator[tuple[int, int]]:
    """Stretches of 0..total, each twice as long as the one before, until the next would not end in time."""
    began, start, size = time.perf_counter(), 0, first
    while start < total:
        before = time.perf_counter()
        yield start, min(total, start + size)
        start, size = start + size, 2 * size
        now = time.perf_counter()
        if now - began + 2 * (now - before) > seconds:
            return


def _numpy(x: Tensor) -> np.ndarray:
    return x.double().cpu().numpy()
