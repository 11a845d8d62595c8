"""Layer by layer through a flow, on real rows and on draws of its base: what each layer does and how exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core import Chain, Flow, Inverse, Transform
from ..evaluation import entering, settled
from ..transforms import Latent, Quantize
from ..univariate import RationalQuadratic, Univariate

LARGEST = 128  # dimension up to which log-dets are compared with autograd's: D rows in one backward pass for each row
ROWS = 4  # of them
TOLERANCE = 1e-4  # nats, relative to 1 + |ldj|, in float64
TOLERANCE_OWN = 1e-3  # the same in float32, of half of the rows


@dataclass
class LayerCheck:
    """One layer's row of the doctor's table.

    Attributes:
        where: ``layer 3``, or ``layer 3.1`` within a chain.
        name: of the class.
        round_trip: largest error of there and back in the flow's own dtype, in standard deviations of each feature, both ways;
            None where the layer is random in both directions.
        round_trip_64: the same in float64.
        log_det: largest difference from the log-determinant of autograd's Jacobian in float64, in nats; None where that
            does not apply (the layer is not an exact bijection) or D is over 128.
        log_det_says: what is wrong about it, in words.
        slopes: smallest and largest derivative of a feature; for layers without scalar maps the geometric mean over a row's features;
            None where the layer gives codes, which have none.
        tails: share of the points outside the interval of a spline, and that interval's half-width.
        lost: rows of data that became non-finite here, in the flow's own dtype, and in float64.
        lost_sampling: draws of the base that became non-finite here on the way to data.
    """

    where: str
    name: str
    round_trip: float | None = None
    round_trip_64: float | None = None
    log_det: float | None = None
    log_det_says: str = ""
    slopes: tuple[float, float] | None = (1.0, 1.0)
    tails: float | None = None
    bound: float | None = None
    lost: tuple[int, int] = (0, 0)
    lost_sampling: int = 0

    def __str__(self) -> str:
        return f"{self.where} ({self.name})"


@dataclass
class Walk:
    """What a walk through the layers gave: one check for each layer, and the latents of the rows (float64)."""

    layers: list[LayerCheck] = field(default_factory=list)
    z: Tensor = field(default_factory=lambda: torch.empty(0))
    rows: int = 0


class Recorder(Univariate):
    """A scalar map that remembers what went through it: slopes, and points outside of a spline's interval."""

    def __init__(self, inner: Univariate):
        self.inner, self.params, self.identity = inner, inner.params, inner.identity
        self.bound = inner.bound if isinstance(inner, RationalQuadratic) else None
        self.low, self.high, self.outside, self.points = math.inf, -math.inf, 0, 0

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._record(x, *self.inner.forward(x, h))

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._record(z, *self.inner.inverse(z, h))

    def _record(self, x: Tensor, out: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        self.low = min(self.low, slope.detach().amin().item())
        self.high = max(self.high, slope.detach().amax().item())
        self.points += x.numel()
        if self.bound is not None:
            self.outside += int((x.abs() > self.bound).sum())
        return out, slope


def walk(flow: Flow, x: Tensor, context: Tensor | None = None, seed: int = 0) -> Walk:
    """Rows ``(N, *shape)`` from data to latent, N draws of the base back to data, in the flow's dtype and in a float64 copy.

    What runs is what is looked at: the copy is as it is, compiled kernels included. A second one, whose scalar maps are wrapped and
    so take no kernel of a whole layer, gives slopes and tails alone.
    """
    double = copy.deepcopy(flow).double().eval()  # as the flow is when it walks
    twins = [layer for _, layer in _layers(double.transform)]
    result = Walk([LayerCheck(where, _name(layer)) for where, layer in _layers(flow.transform)], rows=len(x))
    for model in (flow, double):
        shadow = model is double
        with settled(model, seed), torch.no_grad():
            data, c = _entered(model, x, context)
            layers = [layer for _, layer in _layers(model.transform)]
            z, kept = _to_latent(layers, data, c, result.layers, None if shadow else twins)
            result.z = z
            _to_data(model, layers, None if c is None else c[kept], len(kept), result.layers, shadow)
    with settled(double, seed), torch.no_grad():
        _slopes(twins, *_entered(double, x, context), result.layers)
    return result


def _entered(model: Flow, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows as they enter the model, and what its layers see of their contexts."""
    data, c = entering(model, x, context)
    return data, c if c is None or model.context_shape is None else model.embedding(c)


def _to_latent(
    layers: list[Transform], x: Tensor, c: Tensor | None, checks: list[LayerCheck], twins: list[Transform] | None
) -> tuple[Tensor, Tensor]:
    """The latents of the rows that stay finite, and their numbers; fills in the checks. ``twins``: the layers in float64, if not these."""
    kept = torch.arange(len(x), device=x.device)
    for i, (layer, check) in enumerate(zip(layers, checks)):
        if not len(x):
            break
        torch.manual_seed(i)
        z, ldj = layer(x, c)
        finite = z.flatten(1).isfinite().all(1) & ldj.isfinite()
        lost = int((~finite).sum())
        check.lost = (lost, check.lost[1]) if twins else (check.lost[0], lost)
        if lost:
            x, z, ldj, kept, c = x[finite], z[finite], ldj[finite], kept[finite], c if c is None else c[finite]
        if len(x):
            _round_trip(check, layer, x, z, c, not twins)
            if layer.bijective and layer.exact:
                if twins:
                    _compare_dtypes(check, twins[i], x, c, ldj)
                else:
                    _compare(check, layer, x[:ROWS], c if c is None else c[:ROWS])
        x = z
    return x, kept


def _slopes(layers: list[Transform], x: Tensor, c: Tensor | None, checks: list[LayerCheck]) -> None:
    """Slopes and tails of the scalar maps within each layer, which are wrapped for good."""
    for i, (layer, check) in enumerate(zip(layers, checks)):
        recorders = _record(layer)
        torch.manual_seed(i)
        z, ldj = layer(x, c)
        if len(x):
            _summarize(check, layer, recorders, ldj, x)
        finite = z.flatten(1).isfinite().all(1) & ldj.isfinite()
        x, c = z[finite], c if c is None else c[finite]


def _to_data(model: Flow, layers: list[Transform], c: Tensor | None, rows: int, checks: list[LayerCheck], shadow: bool) -> None:
    """Draws of the base through the inverses: where they become non-finite, and whether forward leads back."""
    if not rows:
        return
    z = model.base.sample((rows,)) if model.base.context_shape is None else model.base.sample((), c)
    for layer, check in zip(reversed(layers), reversed(checks)):
        x, ldj = layer.inverse(z, c)
        sound = ~x.isinf() if isinstance(layer, Quantize) else x.isfinite()  # its NaN is a missing value
        finite = sound.flatten(1).all(1) & ldj.isfinite()
        if not shadow:
            check.lost_sampling = int((~finite).sum())
        x, z, c = x[finite], z[finite], c if c is None else c[finite]
        if not len(x):
            return
        if not layer.stochastic_forward:
            _note(check, spread(layer(x, c)[0] - z, z), shadow)
        z = x


def _round_trip(check: LayerCheck, layer: Transform, x: Tensor, z: Tensor, c: Tensor | None, shadow: bool) -> None:
    if not layer.stochastic_inverse:
        _note(check, spread(layer.inverse(z, c)[0] - x, x), shadow)


def _note(check: LayerCheck, error: float, shadow: bool) -> None:
    error = error if math.isfinite(error) else math.inf
    if shadow:
        check.round_trip_64 = max(error, check.round_trip_64 or 0.0)
    else:
        check.round_trip = max(error, check.round_trip or 0.0)


def spread(error: Tensor, like: Tensor) -> float:
    """The largest error, in standard deviations of its feature over the rows (plain where a feature does not vary)."""
    scale = like.double().std(0, correction=0)
    return (error.double().abs() / torch.where(scale > 0, scale, 1.0)).max().item()


def _compare(check: LayerCheck, layer: Transform, x: Tensor, c: Tensor | None) -> None:
    """The log-det of both directions against autograd's, and what the difference looks like."""
    z, there = layer(x, c)
    back = layer.inverse(z, c)[1]
    if _relative(there, -back) > TOLERANCE:
        check.log_det_says = f"forward and inverse do not cancel, by {_relative(there, -back):.2g} (1 + |log-det|)"
    if x[0].numel() > LARGEST:
        return
    for direction, function, start, ldj in (("forward", layer, x, there), ("inverse", layer.inverse, z, back)):
        truth = log_det(function, start, c)
        if truth is None:
            continue
        error = _relative(ldj, truth)
        if error > TOLERANCE and error > (check.log_det or 0.0):
            how = "it has the wrong sign" if _relative(ldj, -truth) < TOLERANCE else f"it is off by {error:.2g} (1 + |log-det|)"
            check.log_det_says = f"{direction}: {how}"
        check.log_det = max(error, check.log_det or 0.0)


def _compare_dtypes(check: LayerCheck, twin: Transform, x: Tensor, c: Tensor | None, ldj: Tensor) -> None:
    """The log-det in the flow's own dtype against the one in float64: in the middle row, since some lie where slopes change fast."""
    if x.dtype not in (torch.float32, torch.float64):
        return
    truth = twin(x.double(), None if c is None else c.double())[1]
    error = ((ldj - truth).abs() / (1 + truth.abs())).median().item()
    if not error <= TOLERANCE_OWN:
        check.log_det_says = f"in {ldj.dtype} it is off by {error:.2g} (1 + |log-det|) from that in float64"


def _relative(ldj: Tensor, truth: Tensor) -> float:
    error = ((ldj - truth).abs() / (1 + truth.abs())).max().item()
    return error if math.isfinite(error) else math.inf


def log_det(function: Callable[..., tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None = None) -> Tensor | None:
    """``log|det dz/dx|`` of each row by autograd, ``(B,)``; None where no gradient arrives.

    Each row is repeated D times and each copy asks for the gradient of another output: one backward pass for all.
    """
    batch, dim = len(x), x[0].numel()
    with torch.enable_grad():
        start = x.repeat_interleave(dim, 0).requires_grad_()
        z = function(start, None if context is None else context.repeat_interleave(dim, 0))[0].flatten(1)
        if not z.requires_grad or z.shape[1] != dim:
            return None
        (gradient,) = torch.autograd.grad(z, start, torch.eye(dim, dtype=z.dtype, device=z.device).repeat(batch, 1))
    return torch.linalg.slogdet(gradient.reshape(batch, dim, dim))[1]


def _summarize(check: LayerCheck, layer: Transform, recorders: list[Recorder], ldj: Tensor, x: Tensor) -> None:
    if isinstance(layer, Quantize | Latent):
        check.slopes = None
        return
    used = [r for r in recorders if r.points]
    mean = ldj / max(1, x[0].numel())
    low, high = min((r.low for r in used), default=mean.min().item()), max((r.high for r in used), default=mean.max().item())
    check.slopes = (math.exp(min(low, 700.0)), math.exp(min(high, 700.0)))
    splines = [r for r in used if r.bound is not None]
    if splines:
        check.tails = sum(r.outside for r in splines) / sum(r.points for r in splines)
        check.bound = splines[0].bound


def _record(layer: Transform) -> list[Recorder]:
    """Put recorders around the scalar maps within a layer (of a copy made for the purpose)."""
    recorders = []
    for module in layer.modules():
        inner = vars(module).get("univariate")
        if isinstance(inner, Univariate):
            recorders.append(Recorder(inner))
            module.univariate = recorders[-1]  # type: ignore[assignment]
    return recorders


def _name(layer: Transform) -> str:
    return f"Inverse({_name(layer.transform)})" if isinstance(layer, Inverse) else type(layer).__name__


def _layers(chain: Chain, prefix: str = "layer ") -> list[tuple[str, Transform]]:
    """The layers in order, those of chains within chains too."""
    found: list[tuple[str, Transform]] = []
    for i, layer in enumerate(chain.transforms):
        found += _layers(layer, f"{prefix}{i}.") if isinstance(layer, Chain) else [(f"{prefix}{i}", layer)]
    return found
