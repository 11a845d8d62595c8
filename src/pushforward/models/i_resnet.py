"""i-ResNet."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow
from ..nets.lipschitz import SmoothUnits
from .recipe import recipe
from .residual_flow import residual_flow


@recipe
def i_resnet(
    shape: Sequence[int],
    *,
    steps: int = 8,
    width: int = 64,
    depth: int = 3,
    coefficient: float = 0.9,
    units: SmoothUnits = "lipswish",
    terms: int = 10,
    probes: int = 1,
    exact_up_to: int = 64,
    tolerance: float = 1e-6,
    context: int = 0,
) -> Flow:
    """i-ResNet: the residual flow whose series is cut off in training (Behrmann et al., 2018, arXiv:1811.00995).

    :func:`residual_flow` with the first ``terms`` terms of ``log det(I + J) = sum_k (-1)^{k+1} tr(J^k) / k``, so that training is biased,
    by ``D sum_{k > terms} coefficient^k / k`` a layer at most. Rows ``(B, D)``. Evaluation is exact, by D products with the Jacobian a
    layer. Samples by fixed-point iterations, some ten passes.

    Caveats: training climbs the bias where that is easier than the likelihood; above ``exact_up_to`` dimensions evaluation has 20 terms,
    and states what they may miss.

    Reference: Invertible Residual Networks, Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, 2018, arXiv:1811.00995. Departures: smooth
    units in place of ELU, whose slope has a kink, so that the gradient of a log-determinant jumps; those of :func:`residual_flow`.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: residual layers.
        width: hidden units of each net.
        depth: its hidden layers.
        coefficient: bound of its Lipschitz constant, below 1.
        units: "lipswish", "clipswish" or "sine".
        terms: of the series in training.
        probes: random vectors for each trace.
        exact_up_to: dimensions up to which evaluation is exact.
        tolerance: of a layer's inverse, in Euclidean norm.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> i_resnet((4,), steps=2, width=16).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    return residual_flow(
        shape,
        steps=steps,
        width=width,
        depth=depth,
        coefficient=coefficient,
        units=units,
        log_det="truncated",
        terms=terms,
        probes=probes,
        exact_up_to=exact_up_to,
        tolerance=tolerance,
        context=context,
    )
