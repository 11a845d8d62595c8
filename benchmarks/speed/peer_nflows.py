"""The cases in nflows (github.com/bayesiains/nflows)."""

from __future__ import annotations

from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    AffineCouplingTransform,
    CompositeTransform,
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    PiecewiseRationalQuadraticCouplingTransform,
    ReversePermutation,
)
from torch import Tensor, nn

from .cases import BINS, BOUND, Case
from .torch_works import Model

SPLINE = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}


def build(case: Case) -> Model | None:
    layers: list[nn.Module] = []
    for i in range(case.layers):
        mask = [(feature + i) % 2 for feature in range(case.dim)]
        made = {"features": case.dim, "hidden_features": case.width, "num_blocks": 1, "use_residual_blocks": False}
        match case.kind:
            case "nsf":
                layers.append(MaskedPiecewiseRationalQuadraticAutoregressiveTransform(**made, **SPLINE))
            case "maf":
                layers.append(MaskedAffineAutoregressiveTransform(**made))
            case "nsf_coupling":
                layers.append(PiecewiseRationalQuadraticCouplingTransform(mask, lambda a, b: Dense(a, b, case.width), **SPLINE))
            case "real_nvp":
                layers.append(AffineCouplingTransform(mask, lambda a, b: Dense(a, b, case.width)))
            case _:
                return None  # a masked net of one feature reads no context
        if case.kind in ("nsf", "maf") and i + 1 < case.layers:
            layers.append(ReversePermutation(case.dim))
    flow = Flow(CompositeTransform(layers), StandardNormal([case.dim]))
    return Model(flow, lambda x, c: flow.log_prob(x), lambda n, c: flow.sample(n))


class Dense(nn.Module):
    """The net of a coupling, two hidden layers; also normflows' couplings take it."""

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.hidden_features = width
        self.net = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(x)
