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
    """

    name: str
    coverage: list[float]
    counts: list[float]
    mean: float

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
        columns: by column; the ranks of simulation-based calibration, if the flow is conditional.
        joint: of all columns at once by TARP, of a conditional flow.
    """

    rows: int
    draws: int
    noise: float
    columns: list[Ranks]
    joint: Ranks | None = None

    def stderr(self, level: float) -> float:
        """Binomial standard error of a coverage, ``sqrt(q (1 - q) noise)``."""
        return math.sqrt(level * (1 - level) * self.noise)

    def fault(self, ranks: Ranks) -> str:
        """What is wrong with these ranks, by more than four standard errors and three rows in a hundred; empty if nothing is."""
        off = [(ranks.at(level) - level, self.stderr(level)) for level in SPOKEN]
        signs = {gap > 0 for gap, error in off if abs(gap) > max(WORTH_A_WORD, SIGNIFICANT * error)}
        found = ["of another shape" if len(signs) == 2 else "too wide" if signs == {True} else "too narrow"] if signs else []
        shift = ranks.mean - 0.5
        if abs(shift) > max(WORTH_A_WORD, SIGNIFICANT * math.sqrt(self.noise / 12)):
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
    flow: Distribution, rows: Rows, names: Sequence[str] | None = None, *, seconds: float = SECONDS, seed: int = 0
) -> Calibration | None:
    r"""Ranks of held-out rows among samples of the flow, given each row's own context.

    The rank of a value x among L draws is :math:`u = (\#\{x^l < x\} + v (1 + \#\{x^l = x\})) / (L + 1)` with v uniform, which is
    uniform on 0..1 if x and the draws come from the same distribution, whatever L and also for whole numbers. From it follow, by column,

    - the coverage of the central interval of level q, the share of rows with :math:`|u - 1/2| \le q/2`, expected q;
    - simulation-based calibration: the histogram of u, expected flat. A bowl: samples are too narrow; a hump: too wide; a slope: shifted.

    TARP does the same for all columns together: what is ranked are the distances to a reference point, here another held-out row, with
    columns divided by their standard deviations. A necessary test, not a sufficient one: an unconditional flow can pass it.

    A conditional flow draws 99 samples for each of up to 1,000 rows; any other 10 for each row, up to 20,000 samples and rows, and all
    rows share them. Drawing ends after ``seconds``, with as many rows (or samples) as it got to: slow samplers judge by fewer.

    Arguments:
        flow: the model, of vectors.
        rows: held-out rows in data units.
        names: of the columns.
        seconds: of drawing, about.
        seed: of samples, references and v.

    Returns:
        None where there are fewer than 20 rows, or draws that are not numbers.

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
    if not np.isfinite(draws).all():
        return None
    if given:
        x = x[: len(draws)]
        less, equal = (draws < x[:, None]).sum(1), (draws == x[:, None]).sum(1)
    else:
        sides = [[np.searchsorted(np.sort(d), v, side) for d, v in zip(draws.T, x.T)] for side in ("left", "right")]
        less, equal = np.stack(sides[0], 1), np.stack(sides[1], 1) - np.stack(sides[0], 1)
    count = DRAWS if given else len(draws)
    w = np.ones(len(x)) if rows.weight is None else rows.weight.double().cpu().numpy()[: len(x)]
    w = w / w.sum()
    noise = float((w**2).sum()) + (0 if given else 1 / count)
    columns = [_ranks(name, u, w) for name, u in zip(names, _uniform(less, equal, count, random).T, strict=True)]
    joint = None
    if given:
        reference, scale = np.roll(x, 1, 0), np.where(x.std(0) > 0, x.std(0), 1.0)
        far = np.linalg.norm((x - reference) / scale, axis=1)[:, None]
        drawn = np.linalg.norm((draws - reference[:, None]) / scale, axis=2)
        joint = _ranks("all columns", _uniform((drawn < far).sum(1), (drawn == far).sum(1), count, random), w)
    return Calibration(len(x), count, noise, columns, joint)


def _uniform(less: np.ndarray, equal: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    return (less + random.random(less.shape) * (1 + equal)) / (count + 1)


def _ranks(name: str, u: np.ndarray, w: np.ndarray) -> Ranks:
    coverage = [float(w[np.abs(u - 0.5) <= level / 2].sum()) for level in LEVELS]
    counts = np.histogram(u, RANK_BINS, (0, 1), weights=w)[0].tolist()
    return Ranks(name, coverage, counts, float(w @ u))


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
