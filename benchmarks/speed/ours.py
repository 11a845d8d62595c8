"""The cases as pushforward builds them, from its pieces."""

from __future__ import annotations

import torch

from pushforward import MADE, MLP, Affine, Autoregressive, Coupling, Flow, Normal, RationalQuadratic, Univariate
from pushforward.models import glow

from .cases import AUTOREGRESSIVE, BINS, BOUND, SCALES, SIDE, SPLINES, Case
from .torch_works import Model


def build(case: Case) -> Model:
    if case.kind == "glow":
        flow = glow((case.dim, SIDE, SIDE), scales=SCALES, steps=case.layers, width=case.width)
        flow.initialize(torch.randint(256, (64, case.dim, SIDE, SIDE)).float())
    else:
        flow = vectors(case)
        with torch.no_grad():  # from the start, at the identity, some work could be left out
            for parameter in flow.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return Model(flow, flow, lambda n, c: flow.sample((n,)) if c is None else flow.sample((), c))


def vectors(case: Case) -> Flow:
    layers: list[Autoregressive | Coupling] = []
    for i in range(case.layers):
        curve: Univariate = RationalQuadratic(BINS, BOUND) if case.kind in SPLINES else Affine()
        if case.kind in (*AUTOREGRESSIVE, "spline"):
            order = range(case.dim) if i % 2 == 0 else range(case.dim - 1, -1, -1)
            net = MADE(case.dim, curve.params, width=case.width, depth=2, order=order, context=case.context)
            layers.append(Autoregressive(curve, net))
        else:
            mask = [(feature + i) % 2 for feature in range(case.dim)]
            half = MLP(sum(mask), curve.params * (case.dim - sum(mask)), width=case.width, depth=2)
            layers.append(Coupling(mask, curve, half))
    return Flow(Normal((case.dim,)), *layers, context=case.context)
