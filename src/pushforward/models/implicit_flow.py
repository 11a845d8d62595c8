"""Implicit flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..nets import LipschitzMLP
from ..nets.lipschitz import SmoothUnits
from ..transforms import ActNorm, Residual
from ..transforms.residual import LogDet
from .common import EXACT_IN_TRAINING, vector
from .recipe import recipe


@recipe
def implicit_flow(
    shape: Sequence[int],
    *,
    steps: int = 4,
    width: int = 64,
    depth: int = 3,
    coefficient: float = 0.9,
    units: SmoothUnits = "sine",
    log_det: LogDet | None = None,
    terms: int = 2,
    tail: float = 4.5,
    probes: int = 1,
    exact_up_to: int = 64,
    tolerance: float = 1e-6,
    context: int = 0,
) -> Flow:
    """Implicit normalizing flow: layers whose z is the root of an equation of two contractions (Lu et al., 2021, arXiv:2103.09527).

    ``z + h(z) = x + g(x)`` with ``|g(x) - g(y)| <= coefficient |x - y|`` and so for h: a residual step behind the inverse of another, and
    ActNorm in turn. ``log p`` by ``log det(I + dg/dx) - log det(I + dh/dz)``. Rows ``(B, D)``. Density and samples alike: ``steps`` fixed
    points, some ten passes each; the log-determinants are those of :func:`residual_flow`, estimates in training, exact in evaluation.

    A step reaches slopes from ``(1 - coefficient) / (1 + coefficient)`` to its reciprocal, .05 to 19 for .9, where a residual step has
    ``1 - coefficient`` to ``1 + coefficient``. Half as many steps hold as many nets, and take about twice as long in training.

    Reference: Implicit Normalizing Flows, Lu, Chen, Li, Wang, Zhu, 2021, arXiv:2103.09527. Departures: those of :class:`Residual` and its
    net; the inverse by its steps in place of Broyden's; sizes for a CPU (6 steps of width 128 and coefficient .99 in the paper's toys).

    Arguments:
        shape: of a row, ``(D,)``.
        steps: implicit layers, each of two nets.
        width: hidden units of each net.
        depth: its hidden layers.
        coefficient: bound of its Lipschitz constant, below 1.
        units: "lipswish", "clipswish" or "sine".
        log_det: in training, "geometric", "poisson", "truncated" or "exact"; by default exact for up to 3 features, else geometric.
        terms: of the series in training that are always taken.
        tail: mean number of random terms beyond.
        probes: random vectors for each trace.
        exact_up_to: dimensions up to which evaluation is exact.
        tolerance: of a fixed point, in Euclidean norm.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> implicit_flow((4,), steps=2, width=16).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    log_det = log_det or ("exact" if dim <= EXACT_IN_TRAINING else "geometric")

    def residual() -> Residual:
        net = LipschitzMLP(dim, width=width, depth=depth, coefficient=coefficient, units=units, context=context)
        return Residual(net, shape, log_det=log_det, terms=terms, tail=tail, probes=probes, exact_up_to=exact_up_to, tolerance=tolerance)

    layers: list[Transform] = []
    for _ in range(steps):
        layers += [ActNorm(dim), residual(), Inverse(residual())]
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
