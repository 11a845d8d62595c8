"""Which figures a flow fitted to a table calls for: chosen by the dimension of the data and by what its columns are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core import Flow
from ..data import Rows
from ..distributions import AnyOrder, Normal
from ..evaluation import entering, log_likelihood
from ..questions import Exact
from .curves import likelihoods
from .density import Contexts, contexts_of
from .dependence import dependent, mixed_pairs
from .explained import explained, nats_of_columns
from .gaps import missingness
from .histograms import conditionals, marginals
from .images import extremes, sheets
from .picture import Picture
from .plane import COARSE, CURVE, densities, profile, warp
from .ranks import coverage, rank_histograms
from .style import number, shorten
from .tables import pairs, telling, uniformity

if TYPE_CHECKING:
    from ..data import Column, Data
    from ..evaluation import Calibration

MOST = 20_000  # rows in a figure
ENOUGH = 2_000  # test rows that make a figure by themselves
ROWS_BY_COLUMN = 5_000  # test rows whose columns are scored one by one

WARP = (
    "The flow as a map of the plane. Above: data carried to the latent, x → z, with a square grid. Below: the base carried to the data, "
    "z → x, with circles that hold 20, 50, 80, 95 and 99 % of it. Hue: the direction from the centre of the base."
)
LATENTS = (
    "Each latent dimension of the test rows through the normal distribution function: flat where the flow is right. Grey: where a bar "
    "of a flat histogram lies 19 times out of 20. A hump: the model is too wide there; a bowl: too narrow; a slope: shifted."
)
LIKELIHOODS = (
    "Training rows right of test rows: the model has learned rows by heart. Samples and test rows apart: the model is surer, or less "
    "sure, of its own samples than of the data."
)
COVERAGE = (
    "Observed beside expected: the share of test rows whose value lies in the central interval that should hold so many. Below the "
    "diagonal intervals are too narrow, the model is too sure; above it too wide. Grey: within two standard errors of the diagonal."
)
TARP = " Right: the same of balls around other rows, in all columns at once (Lemos et al., 2023)."
PAIRS = (
    "The pairs of columns that depend on each other most. Two categories: the shares of one within each value of the other. A category and "
    "a number: the number's median, the middle half and the middle nine tenths. Two numbers: where the rows lie. At the right, the mutual "
    "information in data | samples: how much one column says about the other; whether it is missing counts."
)
GAPS = (
    "A bar above is the share of rows in which just the values marked below it are missing; a bar at the right, of all rows in which "
    "that column's is."
)
EXPLAINED = (
    "Mean log-likelihood of each column: alone, with the distribution that it has in the training rows, and given the columns above it; "
    "at the right, how many nats these explain. The sum of the coloured dots is the log-likelihood of a row."
)
RANKS = (
    "Ranks of the test rows among samples that were drawn for the same context, flat where the model is calibrated. Grey: where a bar lies "
    "19 times out of 20. A bowl: samples are too narrow; a hump: too wide; a slope: shifted. After Talts et al., 2018"
)


def table_figures(flow: Flow, data: Data, ranked: Calibration | None = None) -> list[Picture]:
    """Data beside what the flow makes of them, as their columns call for, and its calibration, if there is one.

    Rows and samples are drawn from the global generator.
    """
    return [*_fit(flow, data), *_calibration(ranked)]


def _fit(flow: Flow, data: Data) -> list[Picture]:
    """Figures that compare the data with what the flow makes of it."""
    schema = data.schema
    rows, which = _pictured(data)
    samples = _sample(flow, rows)
    lost = len(rows) - len(_finite(samples, schema.columns))
    note = f"Data: {which}. " + (f"{lost:,} of as many samples are not finite and left out. " if lost else "")
    if schema.image is not None:
        found = _images(flow, data, rows, samples)
    elif schema.mixed:
        found = _mixed(data, rows, samples, note)
    elif len(schema.columns) == 1:
        found = [_profile(flow, data, rows, note)]
    elif len(schema.columns) == 2:
        found = _plane(flow, data, rows, samples, note)
    else:
        found = _pairs(data, rows, samples, note)
    if schema.image is None:
        words = note + "KS is the largest gap between the two distribution functions, 0 where they agree"
        words += "; TV, of categories, that between the probabilities of any event." if schema.mixed else "."
        found.append(Picture("marginals", "Marginals", words, marginals(rows.x.numpy(), samples.x.numpy(), schema.columns)))
        found += _given(data, rows, samples, note)
    return [*found, *_explained(flow, data), *_latents(flow, data), *_likelihoods(flow, data, samples)]


def _images(flow: Flow, data: Data, rows: Rows, samples: Rows) -> list[Picture]:
    schema, x, drawn = data.schema, rows.x.numpy(), _finite(samples, data.schema.columns).x.numpy()
    shape, levels = schema.image or (), schema.columns[0].levels
    low, high = (0.0, levels - 1.0) if levels else (float(x.min()), float(x.max()))
    test = _some(data.test, MOST)
    odd = extremes(test.x.numpy(), _log_prob(flow, test), shape, low, high)
    words = "Test images with the highest and the lowest log-likelihood, in nats. The least likely are where to look for odd rows."
    return [
        Picture("images", "Images", "Images of the data and of the model, neither of them picked.", sheets(x, drawn, shape, low, high)),
        Picture("extremes", "Most and least likely", words, odd),
    ]


def _contexts(flow: Flow, rows: Rows, points: int) -> tuple[Contexts | None, str]:
    """What a conditional density is averaged over, so that it is of the same rows as the data beside it; and that in words."""
    if rows.context is None:
        return None, "the model's density itself"
    contexts = contexts_of(flow, rows.context, points)
    return contexts, f"the mixture of the model's densities given {contexts.words}"


def _profile(flow: Flow, data: Data, rows: Rows, note: str) -> Picture:
    contexts, words = _contexts(flow, rows, CURVE)
    drawn = profile(flow, rows.x.numpy(), data.schema.columns[0], contexts)
    return Picture("density", "Density", f"{note}The curve is {words}.", drawn)


def _plane(flow: Flow, data: Data, rows: Rows, samples: Rows, note: str) -> list[Picture]:
    columns, x = data.schema.columns, rows.x.numpy()
    contexts, words = _contexts(flow, rows, COARSE**2)
    words = f"{note}The density is {words}. The three share one colour scale: equal colours are equal densities."
    found = [Picture("density", "Density", words, densities(flow, x, _finite(samples, columns).x.numpy(), columns, contexts))]
    if isinstance(flow.base, Normal) and flow.base.shape == flow.shape:
        given = None if rows.context is None else rows.context[:4000]
        words = WARP if given is None else WARP + " The lines belong to the context of one row."
        found.append(Picture("warp", "The map", words, warp(flow, x[:4000], columns, given)))
    return found


def _pairs(data: Data, rows: Rows, samples: Rows, note: str) -> list[Picture]:
    columns, x = data.schema.columns, rows.x.numpy()
    shown = telling(x)
    some = f"The {len(shown)} of {len(columns)} columns that hang together most. " if len(shown) < len(columns) else ""
    words = note + some + "Data above the diagonal, samples below it at the mirrored place, in the same scale."
    picture = pairs(x[:, shown], _finite(samples, columns).x.numpy()[:, shown], [columns[i] for i in shown])
    return [Picture("pairs", "Pairs of columns", words, picture)]


def _mixed(data: Data, rows: Rows, samples: Rows, note: str) -> list[Picture]:
    columns, x, drawn = data.schema.columns, rows.x.numpy(), _finite(samples, data.schema.columns).x.numpy()
    found = []
    if len(columns) > 1:
        found.append(Picture("pairs", "Pairs of columns", note + PAIRS, mixed_pairs(x, drawn, columns, dependent(x, columns))))
    if np.isnan(x).any() or np.isnan(drawn).any():
        found.append(Picture("missingness", "What is missing", note + GAPS, missingness(x, drawn, columns)))
    return found


def _explained(flow: Flow, data: Data) -> list[Picture]:
    if not isinstance(flow.base, AnyOrder) or not len(data.test):
        return []
    rows = _some(data.test, ROWS_BY_COLUMN)
    alone, chain = nats_of_columns(Exact(flow), flow, data.train, rows)
    orders = len(flow.base.orders)
    several = f" The model averages over {orders} orders: what is given is then what comes before in each of them." if orders > 1 else ""
    words = f"{EXPLAINED}{several} {len(rows):,} test rows.{_parts(chain, data.schema.columns)}"
    return [Picture("explained", "Nats by column", words, explained(alone, chain, data.schema.columns, flow.base.order))]


def _parts(nats: np.ndarray, columns: Sequence[Column]) -> str:
    """What is of probabilities, and what of densities, where there are both: only the former have bits."""
    discrete = np.array([column.discrete for column in columns])
    if discrete.all() or not discrete.any():
        return ""
    whole, rest = (number(float(nats[some].sum()), 2) for some in (discrete, ~discrete))
    bits = number(-float(nats[discrete].sum()) / np.log(2), 2)
    return f" Columns that have probabilities: {whole} nats, {bits} bits; columns that have densities: {rest} nats."


def _given(data: Data, rows: Rows, samples: Rows, note: str) -> list[Picture]:
    if rows.context is None:
        return []
    x, given = rows.x.numpy(), data.schema.context[0]
    shown = telling(x, 4)
    columns = [data.schema.columns[i] for i in shown]
    picture = conditionals(x[:, shown], samples.x.numpy()[:, shown], columns, rows.context[:, 0].numpy(), given)
    words = note + "Each sample was drawn for the context of one row of the data: each line should follow its own histogram."
    return [Picture("conditionals", f"Given {shorten(given.name)}", words, picture)]


def _latents(flow: Flow, data: Data) -> list[Picture]:
    if not isinstance(flow.base, Normal) or len(flow.base.shape) != 1:
        return []
    z = _latent(flow, _some(data.test, MOST))
    z = z[np.isfinite(z).all(1)]
    return [Picture("uniformity", "Are the latents normal?", LATENTS, uniformity(z))] if len(z) else []


def _likelihoods(flow: Flow, data: Data, samples: Rows) -> list[Picture]:
    train, test, drawn = (_log_prob(flow, _some(rows, 4000)) for rows in (data.train, data.test, _finite(samples, data.schema.columns)))
    if not np.isfinite(np.concatenate([train, test, drawn])).any():
        return []
    return [Picture("likelihoods", "Log-likelihood of rows", LIKELIHOODS, likelihoods(train, test, drawn))]


def _calibration(ranked: Calibration | None) -> list[Picture]:
    if ranked is None:
        return []
    found = [Picture("coverage", "Do intervals hold what they should?", COVERAGE + (TARP if ranked.joint else ""), coverage(ranked))]
    if ranked.joint:
        found.append(Picture("ranks", "Simulation-based calibration", f"{RANKS} ({ranked.draws} for each row).", rank_histograms(ranked)))
    return found


def _pictured(data: Data) -> tuple[Rows, str]:
    """The rows that figures show: test rows if there are enough of them, else all; and which."""
    if len(data.test) >= ENOUGH:
        rows = _some(data.test, MOST)
        return rows, f"{len(rows):,} test rows, which training never saw"
    parts = [data.train, data.valid, data.test]
    contexts = [part.context for part in parts if part.context is not None]
    rows = _some(Rows(torch.cat([part.x for part in parts]), torch.cat(contexts) if contexts else None), MOST)
    return rows, f"{len(rows):,} rows of all splits"


def _some(rows: Rows, most: int) -> Rows:
    return rows.pick(torch.randperm(len(rows))[:most].numpy())


def _log_prob(flow: Flow, rows: Rows) -> np.ndarray:
    return log_likelihood(flow, rows).numpy() if len(rows) else np.zeros(0)


@torch.no_grad()
def _latent(flow: Flow, rows: Rows, batch: int = 4096) -> np.ndarray:
    """Latents as the likelihood sees them (integers with their noise, not at the bin's centre): ``(n, D)``."""
    parts = []
    for start in range(0, len(rows), batch):
        x, context = entering(flow, rows.x[start : start + batch], None if rows.context is None else rows.context[start : start + batch])
        parts.append(flow.transform(x, None if context is None else flow.embedding(context))[0].double().cpu().numpy())
    return np.concatenate(parts)


def _sample(flow: Flow, rows: Rows) -> Rows:
    """As many samples as rows, each given the context of its row."""
    _, context = entering(flow, rows.x, rows.context)
    x = flow.sample((len(rows),)) if context is None else flow.sample((), context)
    return Rows(x.double().cpu(), rows.context)


def _finite(rows: Rows, columns: Sequence[Column]) -> Rows:
    """Rows of numbers, with gaps where there may be some."""
    gaps = torch.tensor([column.kind.support().missing for column in columns])
    return rows.pick((rows.x.isfinite() | (rows.x.isnan() & gaps)).all(1).numpy())
