"""The cases in normflows (github.com/VincentStimper/normalizing-flows)."""

from __future__ import annotations

import normflows as nf
import torch
from normflows.flows.neural_spline.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressive
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from torch import nn

from .cases import BINS, BOUND, SCALES, SIDE, Case
from .peer_nflows import Dense
from .torch_works import Model

SPLINE = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}


def build(case: Case) -> Model | None:
    if case.kind == "glow":
        return glow(case.dim, SIDE, SCALES, case.layers, case.width)
    layers: list[nn.Module] = []
    for i in range(case.layers):
        mask = (torch.arange(case.dim) + i) % 2
        made = {"features": case.dim, "hidden_features": case.width, "num_blocks": 1, "use_residual_blocks": False}
        match case.kind:  # Reverse: these layers go from data to latent in one pass forward, and forward is to data here
            case "nsf":
                layers.append(nf.flows.Reverse(MaskedPiecewiseRationalQuadraticAutoregressive(**made, **SPLINE, init_identity=False)))
            case "maf":
                layers.append(nf.flows.Reverse(nf.flows.MaskedAffineAutoregressive(**made)))
            case "nsf_coupling":
                layers.append(nf.flows.Reverse(PiecewiseRationalQuadraticCoupling(mask, lambda a, b: Dense(a, b, case.width), **SPLINE)))
            case "real_nvp":
                half = case.dim // 2
                layers.append(nf.flows.AffineCouplingBlock(nf.nets.MLP([half, case.width, case.width, 2 * (case.dim - half)])))
            case _:
                return None  # a masked net of one feature reads no context
        if case.kind != "nsf_coupling" and i + 1 < case.layers:
            layers.append(nf.flows.Permute(case.dim, mode="swap"))
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(case.dim, trainable=False), layers)
    remark = {"maf": "the scale is a sigmoid", "nsf": "halves are swapped between layers, not reversed"}.get(case.kind, "")
    return Model(flow, lambda x, c: flow.log_prob(x), lambda n, c: flow.sample(n)[0], remark)


def glow(channels: int, side: int, scales: int, steps: int, width: int) -> Model:
    """Its Glow, as its own example builds it."""
    bases, merges, flows = [], [], []
    for i in range(scales):
        blocks = [nf.flows.GlowBlock(channels * 2 ** (scales + 1 - i), width, split_mode="channel", scale=True) for _ in range(steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        merges += [nf.flows.Merge()] if i else []
        coarse, small = 2 ** (scales + 1 if i == 0 else scales - i), side // 2 ** (scales if i == 0 else scales - i)
        bases.append(nf.distributions.DiagGaussian((channels * coarse, small, small)))
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    return Model(
        model,
        lambda x, c: model.log_prob((x + torch.rand_like(x)) / 256 - 0.5, None),
        lambda n, c: model.sample(n)[0],
        "the base learns location and scale where our factors have a convolution",
    )
