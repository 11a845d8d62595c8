"""The case that FrEIA has (github.com/vislearn/FrEIA): its release 0.2 knows affine couplings."""

from __future__ import annotations

import math

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AffineCouplingOneSided, PermuteRandom
from torch import Tensor

from .cases import Case
from .peer_nflows import Dense
from .torch_works import Model


def build(case: Case) -> Model | None:
    if case.kind != "real_nvp":
        return None
    flow = SequenceINN(case.dim)
    for i in range(case.layers):
        flow.append(AffineCouplingOneSided, subnet_constructor=lambda a, b: Dense(a, b, case.width))
        if i + 1 < case.layers:
            flow.append(PermuteRandom, seed=i)

    def log_prob(x: Tensor, context: Tensor | None) -> Tensor:
        z, ldj = flow(x)
        return ldj - 0.5 * z.square().sum(1) - 0.5 * case.dim * math.log(2 * math.pi)

    return Model(flow, log_prob, lambda n, c: flow(torch.randn(n, case.dim), rev=True)[0])
