"""Residual Flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import LipschitzMLP
from ..nets.lipschitz import SmoothUnits
from ..transforms import ActNorm, Residual
from ..transforms.residual import LogDet
from .common import EXACT_IN_TRAINING, vector
from .recipe import recipe


@recipe
def residual_flow(
    shape: Sequence[int],
    *,
    steps: int = 8,
    width: int = 64,
    depth: int = 3,
    coefficient: float = 0.9,
    units: SmoothUnits = "lipswish",
    log_det: LogDet | None = None,
    terms: int = 2,
    tail: float = 4.5,
    probes: int = 1,
    exact_up_to: int = 64,
    tolerance: float = 1e-6,
    context: int = 0,
) -> Flow:
    """Residual Flow: residual nets whose branches are contractions, so that they can be undone (Chen et al., 2019, arXiv:1906.02735).

    ``z = x + g(x)`` with ``|g(x) - g(y)| <= coefficient |x - y|`` and ActNorm in turn, ``log p`` by ``log det(I + dg/dx)``. Rows
    ``(B, D)``. Density in one pass: in training an estimate by a power series that ends at random, in evaluation exact, by D products with
    the Jacobian a layer. Samples by fixed-point iterations, some ten passes.

    Caveats: one step can't stretch or squeeze any direction by more than ``1 + coefficient`` or ``1 / (1 - coefficient)``: thin shapes ask
    for many steps. Training may ask for more ``tail`` or ``probes`` where the loss is noisy.

    Reference: Residual Flows for Invertible Generative Modeling, Chen, Behrmann, Duvenaud, Jacobsen, 2019, arXiv:1906.02735. Departures:
    those of the layer and its net; sizes by default are for a CPU (100 steps of width 128 and depth 3 in the paper, for two features).

    Arguments:
        shape: of a row, ``(D,)``.
        steps: residual layers.
        width: hidden units of each net.
        depth: its hidden layers.
        coefficient: bound of its Lipschitz constant, below 1.
        units: "lipswish", "clipswish" or "sine".
        log_det: in training, "geometric", "poisson", "truncated" or "exact"; by default exact for up to 3 features, else geometric.
        terms: of the series in training that are always taken.
        tail: mean number of random terms beyond.
        probes: random vectors for each trace.
        exact_up_to: dimensions up to which evaluation is exact.
        tolerance: of a layer's inverse, in Euclidean norm.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> residual_flow((4,), steps=2, width=16).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    log_det = log_det or ("exact" if dim <= EXACT_IN_TRAINING else "geometric")
    layers: list[Transform] = []
    for _ in range(steps):
        net = LipschitzMLP(dim, width=width, depth=depth, coefficient=coefficient, units=units, context=context)
        layer = Residual(net, shape, log_det=log_det, terms=terms, tail=tail, probes=probes, exact_up_to=exact_up_to, tolerance=tolerance)
        layers += [ActNorm(dim), layer]
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
