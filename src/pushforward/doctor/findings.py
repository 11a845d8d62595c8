"""What measurements mean, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..evaluation import Calibration
from .normalized import Normalization
from .walk import LARGEST, LayerCheck

INVERTS_64, INVERTS, DIGITS = 1e-4, 0.1, 1e-3  # round-trip errors: wrong in float64, useless, worth a word
TAILS = 0.02
STEEP = 1e4
OUTLIER = 8.0
DOUBT = 0.05
COHERENT = 0.1  # nats for each column by which orders may differ


@dataclass(frozen=True)
class Finding:
    """One sentence; severity ``ok``, ``warn`` (the figures may mislead) or ``fail`` (they are wrong)."""

    severity: str
    text: str


def of_layer(check: LayerCheck) -> list[Finding]:
    """Round trip, log-det, tails and slopes of one layer."""
    found = []
    single, double = check.round_trip or 0.0, check.round_trip_64 or 0.0
    if double > INVERTS_64:
        text = f"{check} is not inverted by its inverse: there and back is off by {double:.2g} standard deviations even in float64"
        found.append(Finding("fail", text + "; samples and densities of this flow do not belong together"))
    elif single > DIGITS:
        low, high = check.slopes or (1.0, 1.0)
        text = f"{check} loses digits: there and back is off by {single:.2g} standard deviations ({double:.2g} in float64), "
        text += f"with slopes from {low:.2g} to {high:.2g}; bound its scales, or run the flow in float64"
        found.append(Finding("fail" if single > INVERTS else "warn", text))
    if check.log_det_says:
        found.append(Finding("fail", f"the log-det of {check} is not that of its Jacobian: {check.log_det_says}; likelihoods are wrong"))
    if check.tails is not None and check.tails > TAILS:
        text = (
            f"{check.tails:.0%} of points fall outside the spline's interval of {check}, beyond +-{check.bound:g}, where it is the identity"
        )
        found.append(Finding("warn", text + ": raise model.bound, or tame heavy-tailed columns (kind positive for positive ones)"))
    low, high = check.slopes or (1.0, 1.0)
    if double <= INVERTS_64 and check.tails is not None and (high > STEEP or low < 1 / STEEP):
        found.append(Finding("warn", f"{check} has slopes from {low:.2g} to {high:.2g}: it is close to making a spike or losing points"))
    return found


def of_active(units: tuple[int, int] | None) -> list[Finding]:
    """Whether the latent of a VAE says anything of the rows."""
    if units is None:
        return []
    active, count = units
    if active:
        return [Finding("ok", f"{active} of {count} latents are active: the means of the others are the same for all rows")]
    text = f"none of the {count} latents is active: the posterior of every row is the same, and the decoder does without it; warm the"
    return [Finding("warn", f"{text} divergence up (train.kl_warmup=0.3), leave bits free (train.free_bits=0.1), or weaken the decoder")]


def of_lost_rows(layers: list[LayerCheck], rows: int) -> list[Finding]:
    """The first layer that gives a non-finite value, on the way to the latents and on the way to data."""
    found = []
    first = next((check for check in layers if any(check.lost)), None)
    if first is not None:
        where = "also in float64" if first.lost[1] else "but not in float64: values grow too large for float32"
        text = f"{first} is the first to give a non-finite value, on {max(first.lost):,} of {rows:,} rows, {where}"
        found.append(Finding("fail", text + "; look for data outside the support, or train with a lower rate and tighter bounds"))
    first = next((check for check in reversed(layers) if check.lost_sampling), None)
    if first is not None:
        text = f"sampling: {first} is the first to give a non-finite value, on {first.lost_sampling:,} of {rows:,} draws"
        found.append(Finding("fail", text + "; bound its scales"))
    return found


def of_whole(error: float, changed: int, most: float, rows: int) -> list[Finding]:
    """``decode(encode(x))`` against x: the largest error, and rows in which a whole number changed, by ``most`` at most."""
    if changed and error <= DIGITS:
        text = (
            f"{changed:,} of {rows:,} rows come back from encode and decode with another whole number, off by at most {most:,.0f}: float32"
        )
        return [Finding("warn", text + " holds 24 bits, which is not enough for this range; run the flow in float64 if that matters")]
    if math.isnan(error) or error <= DIGITS:
        return []
    severity = "warn" if error <= INVERTS else "fail"
    return [Finding(severity, f"the whole flow gives data back only within {error:.2g} standard deviations of the columns")]


def of_latent(latent: dict[str, Any], rows: int) -> list[Finding]:
    """How the latents of real rows differ from standard normals."""
    noise = 5 / math.sqrt(rows)
    found = []
    rules = (
        ("mean", "means away from 0", lambda v: abs(v), lambda v: abs(v) > 0.2 + noise),
        ("std", "deviations away from 1", lambda v: abs(math.log(max(v, 1e-12))), lambda v: abs(math.log(max(v, 1e-12))) > 0.2 + noise),
        ("kurtosis", "heavy or light tails (excess kurtosis)", lambda v: abs(v), lambda v: v > 1 + 5 * noise or v < -1),
    )
    for key, words, size, odd in rules:
        worst = [i for i in sorted(range(len(latent[key])), key=lambda i: -size(latent[key][i])) if odd(latent[key][i])]
        if worst:
            shown = ", ".join(f"z{i} {latent[key][i]:.2f}" for i in worst[:3]) + (" ..." if len(worst) > 3 else "")
            text = f"latents with {words}: {len(worst)} of {len(latent[key])} dimensions, {shown}; the fit is not finished, or these rows"
            found.append(Finding("warn", text + " are unlike those it was fitted to"))
    if latent["largest"] > OUTLIER:
        text = f"some row lies {latent['largest']:.1f} deviations out in the latent space: an outlier of the data, or of the fit"
        found.append(Finding("warn", text + "; score the rows to find it"))
    return found


def of_images(z: Tensor, rows: int, what: str = "images") -> list[Finding]:
    """The latents of a few images or sounds as a whole, and what was not looked at."""
    found = []
    if z.numel() and z.isfinite().all():
        mean, std = z.double().mean().item(), z.double().std().item()
        text = f"the latents of {rows:,} {what} have mean {mean:.2f} and deviation {std:.2f}"
        odd = abs(mean) > 0.1 or abs(math.log(max(std, 1e-12))) > 0.2
        found.append(Finding("warn" if odd else "ok", text + (", away from 0 and 1: the fit is not finished" if odd else "")))
    text = f"{what}: {rows:,} of them were looked at; each latent dimension by itself and odd columns were left out, as they need many rows"
    return [*found, Finding("ok", text)]


def of_orders(spread: float | None, rows: int, columns: int) -> list[Finding]:
    """How much the log-likelihood of a row depends on the order in which an any-order model takes its columns."""
    if spread is None:
        return []
    text = f"the log-likelihoods of {rows:,} rows have a deviation of {spread:.2f} nats over random orders of their {columns} columns"
    if spread <= COHERENT * columns:
        return [Finding("ok", text)]
    return [Finding("warn", text + ": answers depend on what is asked first; train longer, or on more rows")]


def of_calibration(found: Calibration | None) -> list[Finding]:
    """Whether the intervals of the columns hold what they should."""
    if found is None:
        return []
    faults = [found.fault(ranks) for ranks in [*found.columns, *([found.joint] if found.joint else [])]]
    return [Finding("warn" if any(faults) else "ok", found.words())]


def of_mass(normalization: Normalization) -> list[Finding]:
    """Whether the density integrates to one."""
    if normalization.error > DOUBT:
        return [Finding("warn", "whether the density integrates to one can't be told: it is too sharp for the finest grid")]
    if normalization.healthy:
        return [Finding("ok", f"the density integrates to {normalization.mass:.4f}")]
    text = f"the density integrates to {normalization.mass:.3g} where {normalization.inside:.3g} of the samples lie"
    return [Finding("fail", text + ": some log-det or map is wrong")]


def of_good_layers(layers: list[LayerCheck]) -> list[Finding]:
    """What was checked of all layers and is fine."""
    ok = []
    worst = max((check.round_trip or 0.0 for check in layers), default=0.0)
    smooth = [check for check in layers if check.slopes is not None]
    if worst <= DIGITS and all((check.round_trip_64 or 0.0) <= INVERTS_64 for check in layers):
        if smooth:
            which = "the layer gives back what it got" if len(smooth) == 1 else f"all {len(smooth)} layers give back what they got"
            ok.append(f"{which}, in both directions (largest error {worst:.1g} standard deviations)")
        if len(smooth) < len(layers):
            ok.append("values that are drawn for codes have just these codes")
    compared = [check for check in layers if check.log_det is not None]
    rest = f"; the others are random or have more than {LARGEST} dimensions" if len(compared) < len(smooth) else ""
    if compared and not any(check.log_det_says for check in layers):
        ok.append(f"the log-dets of {len(compared)} of {len(smooth)} layers equal autograd's{rest}")
    elif not compared and smooth:
        ok.append(f"no log-det was compared with autograd's: the layers are random or have more than {LARGEST} dimensions")
    return [Finding("ok", text) for text in ok]
