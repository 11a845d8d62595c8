"""The cases in zuko (github.com/probabilists/zuko)."""

from __future__ import annotations

import zuko
from zuko.transforms import MonotonicRQSTransform

from .cases import BINS, Case
from .torch_works import Model

SHAPES = [(BINS,), (BINS,), (BINS - 1,)]


def build(case: Case) -> Model | None:
    sizes = {"transforms": case.layers, "hidden_features": (case.width, case.width), "context": case.context}
    if case.kind in ("nsf", "spline"):
        flow = zuko.flows.NSF(case.dim, bins=BINS, **sizes)
    elif case.kind == "maf":
        flow = zuko.flows.MAF(case.dim, **sizes)
    elif case.kind == "real_nvp":
        flow = zuko.flows.RealNVP(case.dim, **sizes)
    elif case.kind == "nsf_coupling":
        flow = zuko.flows.NICE(case.dim, univariate=MonotonicRQSTransform, shapes=SHAPES, **sizes)
    else:
        return None
    return Model(flow, lambda x, c: flow(c).log_prob(x), lambda n, c: flow(c).sample((n,) if c is None else ()))
