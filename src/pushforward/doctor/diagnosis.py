"""From measurements to findings in plain words."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from .. import kernels
from ..core import Flow
from ..data import Column
from ..data.doubts import doubts, warnings_among
from ..data.kinds import Integer, Real
from ..distributions import AnyOrder, Causal, Normal
from ..evaluation import Calibration, calibration, entering, settled
from ..evaluation.surgery import active_units
from .field import ReceptiveField, receptive_field
from .findings import (
    Finding,
    of_active,
    of_calibration,
    of_good_layers,
    of_images,
    of_latent,
    of_layer,
    of_lost_rows,
    of_mass,
    of_orders,
    of_whole,
)
from .normalized import Normalization, check_normalized
from .walk import LayerCheck, spread, walk

if TYPE_CHECKING:
    from ..data import Rows, Schema, WholeSchema

ROWS_FOR_COLUMNS = 20_000
NUMBERS = 2**14  # in the images that walk
ORDERS, ROWS_IN_ORDERS = 5, 200  # of the columns, that an any-order model is asked in; rows


@dataclass
class Diagnosis:
    """What :func:`diagnose` measured and found.

    Attributes:
        layers: a row of the table for each layer, from data to latent.
        findings: sentences with their severity, the worst first.
        rows: how many rows went through.
        round_trip: error of ``decode(encode(x))`` through the whole flow, in standard deviations of the columns.
        latent: per dimension of z: ``mean``, ``std``, ``kurtosis`` (excess), and ``largest`` |z|; empty for a base that is not Normal.
        normalization: in one and two dimensions.
        calibration: of tables, whether intervals hold what they should.
        reads: of a model that draws pixel after pixel, what the pixel in the middle reads.
        orders: of an any-order model, the deviation of a row's log-likelihood over orders of its columns, in nats, on average.
    """

    layers: list[LayerCheck]
    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    round_trip: float = math.nan
    latent: dict[str, Any] = field(default_factory=dict)
    normalization: Normalization | None = None
    calibration: Calibration | None = None
    orders: float | None = None
    reads: ReceptiveField | None = None

    @property
    def healthy(self) -> bool:
        """Nothing failed; there may be warnings."""
        return all(finding.severity != "fail" for finding in self.findings)

    def lines(self) -> list[str]:
        """The table and the findings as lines of text."""
        titles = ("layer", "", "round trip", "in float64", "log-det", "slopes", "in tails")
        table = [titles, *(_cells(check) for check in self.layers)]
        widths = [max(len(row[i]) for row in table) for i in range(len(titles))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
        return [*lines, "", *(f"{finding.severity:<4}  {finding.text}" for finding in self.findings)]

    def to_json(self) -> dict[str, Any]:
        """All of it as a dictionary that JSON can hold: infinite and undefined numbers become None."""
        return _plain(
            {
                "healthy": self.healthy,
                "rows": self.rows,
                "round_trip": self.round_trip,
                "layers": [asdict(check) for check in self.layers],
                "findings": [asdict(finding) for finding in self.findings],
                "latent": self.latent,
                "normalization": None if self.normalization is None else self.normalization.to_json(),
                "orders": self.orders,
                "reads": None if self.reads is None else self.reads.words(),
                "calibration": None if self.calibration is None else self.calibration.to_json(),
            }
        )


def diagnose(
    flow: Flow,
    rows: Rows,
    schema: Schema | WholeSchema | None = None,
    n: int = 512,
    seed: int = 0,
    ranked: Calibration | None = None,
    notes: Sequence[str] | None = None,
) -> Diagnosis:
    """Walks real rows through a flow and draws back, layer by layer, and says what is wrong in plain words.

    For each layer: the error of there and back, in the flow's own dtype and in a float64 copy; the log-det against autograd's, both
    ways; slopes; the share of points in a spline's tails; where values stop being finite. For the whole: does it give the
    data back, are the latents normal, do columns look discrete or duplicated, does a density of one or two dimensions
    integrate to one, do intervals hold what they should; of an any-order model, does the order of the columns matter. Fails where
    figures are wrong, warns where they may mislead. Cost: seconds; the flow is left as it was.

    Of images only a few walk, 8 or more, and what needs columns or many rows (are latents normal, do columns look odd, log-dets
    by autograd) is left out; a finding says so.

    Arguments:
        flow: the model.
        rows: data, raw float64 rows as for ``evaluate``.
        schema: gives the columns their names and kinds; without it, columns of whole numbers count as discrete.
        n: rows that walk.
        seed: of their choice, and of all noise.
        ranked: what :func:`calibration` found of these rows, if that is known.
        notes: what was said of the data when they were read; else doubts about columns are formed anew, by these rows.

    Raises:
        ValueError: there are no rows, or the context is missing.

    Example::

        >>> report = diagnose(flow, data.test, data.schema)
        >>> report.healthy, report.findings[-1].text
        (True, 'all 12 layers give back what they got, in both directions')
    """
    if not len(rows.x):
        raise ValueError("diagnose: expected at least one row, got none; check the split")
    order = torch.as_tensor(np.random.default_rng(seed).permutation(len(rows.x)))
    pictures = rows.x.dim() > 2  # or sounds
    if pictures:
        n = min(n, max(8, NUMBERS // rows.x[0].numel()))
    x, context = rows.x[order[:n]], None if rows.context is None else rows.context[order[:n]]
    flow.check(*entering(flow, x, context))
    steps = walk(flow, x, context, seed)
    report = Diagnosis(steps.layers, rows=len(x))
    found = [finding for check in steps.layers for finding in of_layer(check)]
    found += of_lost_rows(steps.layers, len(x))
    if len(steps.z) == len(x):
        report.round_trip, changed, most = _whole(flow, x, context, schema)
        found += of_whole(report.round_trip, changed, most, len(x))
        if isinstance(flow.base, Normal) and not pictures:
            report.latent = _moments(steps.z)
            found += of_latent(report.latent, len(x))
    if isinstance(flow.base, AnyOrder):
        some = slice(0, ROWS_IN_ORDERS)
        report.orders = coherence(flow, x[some], None if context is None else context[some], seed)
        found += of_orders(report.orders, len(x[some]), x.shape[1])
    elif flow.shape in ((1,), (2,)) and flow.kind == "exact":
        one = None if context is None or flow.context_shape is None else context[0]
        report.normalization = check_normalized(flow, one, seed=seed)
        found += of_mass(report.normalization)
    if pictures and isinstance(flow.base, Normal):
        found += of_images(steps.z, len(x), "images" if x.dim() == 4 else "sounds")
    with settled(flow, seed):
        found += of_active(active_units(flow, *entering(flow, x, context)))
    if x.dim() == 4 and isinstance(flow.base, Causal):
        report.reads = _field(flow, x, context)
        found.append(report.reads.finding())
    if rows.x.dim() == 2:
        described = cast("Schema", schema).columns if schema else None
        columns = rows.x[order[:ROWS_FOR_COLUMNS]].double().cpu().numpy()
        names = [column.name for column in described] if described else [f"column {i}" for i in range(columns.shape[1])]
        if described is None:
            whole = (columns == np.floor(columns)).all(0)
            described = [Column(name, Integer() if discrete else Real()) for name, discrete in zip(names, whole)]
        found += [Finding("warn", text) for text in (doubts(columns, described) if notes is None else warnings_among(notes))]
        supports = [column.kind.support() for column in described]
        report.calibration = ranked or calibration(flow, rows, names, supports=supports, seed=seed)
        found += of_calibration(report.calibration)
    found += of_good_layers(steps.layers)
    if next(flow.parameters(), x).is_cpu:
        found.append(Finding("ok", f"splines, mixtures and masked layers go through {kernels.path()}"))
    report.findings = sorted(found, key=lambda finding: ("fail", "warn", "ok").index(finding.severity))
    return report


@torch.no_grad()
def coherence(flow: Flow, x: Tensor, context: Tensor | None = None, seed: int = 0) -> float | None:
    """The standard deviation of ``log p(x)`` over five random orders of the columns, the mean over rows ``(N, D)``, in nats.

    Of one distribution it would be 0: ``p(a) p(b|a) = p(b) p(a|b)``. None where no row is possible.
    """
    model = copy.deepcopy(flow)
    assert isinstance(model.base, AnyOrder)
    random, found = np.random.default_rng(seed), []
    with settled(model, seed):
        for _ in range(ORDERS):
            model.base.orders = (tuple(random.permutation(model.base.dim).tolist()),)
            found.append(model.log_prob(*entering(model, x, context)))
    spread = torch.stack(found).double().std(0)
    return spread[spread.isfinite()].mean().item() if spread.isfinite().any() else None


def _field(flow: Flow, x: Tensor, context: Tensor | None) -> ReceptiveField:
    assert isinstance(flow.base, Causal)
    with settled(flow, 0):
        start, c = entering(flow, x, context)
        return receptive_field(flow.base, start, None if c is None else flow.embedding(c))


@torch.no_grad()
def _whole(flow: Flow, x: Tensor, context: Tensor | None, schema: Schema | WholeSchema | None) -> tuple[float, int, float]:
    """The error of ``decode(encode(x))``; in how many rows a whole number changed, and by how much at most."""
    if flow.transform.stochastic_inverse:
        return math.nan, 0, 0.0
    with settled(flow, 0):
        start, c = entering(flow, x, context)
        back = flow.decode(flow.encode(start, c), c)
    if x.dim() > 2:
        off = (back - start).abs().flatten(1)
        return spread(back - start, start), int((off > 0).any(1).sum()), off.max().item()
    discrete = [i for i, column in enumerate(cast("Schema", schema).columns) if column.discrete] if schema else []
    off = (back[:, discrete] - start[:, discrete]).abs()
    return spread(back - start, start), int((off > 0).any(1).sum()), off.max().item() if discrete else 0.0


def _moments(z: Tensor) -> dict[str, Any]:
    z = z.double().flatten(1)
    mean, std = z.mean(0), z.std(0, correction=0)
    kurtosis = ((z - mean) / std.clamp_min(1e-12)).pow(4).mean(0) - 3
    return {"mean": mean.tolist(), "std": std.tolist(), "kurtosis": kurtosis.tolist(), "largest": z.abs().max().item()}


def _cells(check: LayerCheck) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}"

    slopes = "-" if check.slopes is None else f"{check.slopes[0]:.2g} .. {check.slopes[1]:.2g}"
    tails = "-" if check.tails is None else f"{check.tails:.1%}"
    errors = (number(check.round_trip), number(check.round_trip_64), number(check.log_det))
    return (check.where.removeprefix("layer "), check.name, *errors, slopes, tails)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
