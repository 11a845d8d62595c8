"""The likelihood of continuous flows with a price on how they get there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Flow, Transform
from ..transforms import Continuous
from .likelihood import weighted_mean


class RegularizedLikelihood(nn.Module):
    r"""``-log p(x) + kinetic int |f|^2 dt + jacobian int |df/dz e|^2 dt``, for flows with :class:`Continuous` layers, in nats per row.

    Straight ways of even speed need few steps of a solver. The second integral has the products with the probes that the trace takes
    anyway; with ``spread=b`` each batch ends at a time drawn from ``U(1 - b, 1 + b)``, which keeps velocities smooth near the end. Squares
    are added up over the dimensions, as the log-likelihood is. In evaluation the loss is the negative log-likelihood, whatever the options.

    Cost: that of the likelihood.

    References: How to Train Your Neural ODE, Finlay, Jacobsen, Nurbekyan, Oberman, 2020, arXiv:2002.02798 (weights of .01 in bits per
    dimension, of half the energy: kinetic=.0035 and jacobian=.007 here); the end: STEER, Ghosh, Behl, Dupont, Torr, Namboodiri, 2020,
    arXiv:2006.10711.

    Arguments:
        flow: a chain in which continuous layers stand, within further chains and the parts of :class:`Factor` too.
        kinetic: the weight of the kinetic energy.
        jacobian: the weight of the squared norm of the Jacobian.
        spread: b, below 1.

    Raises:
        ValueError: no layer is continuous, or one stands where the price would not reach it; options out of their range.

    Example::

        >>> flow = Flow(Normal((2,)), Continuous(TimeMLP(2, width=16), (2,)))
        >>> RegularizedLikelihood(flow, kinetic=0.01, jacobian=0.01)(torch.randn(8, 2)).shape
        torch.Size([])
    """

    def __init__(self, flow: Flow, *, kinetic: float = 0.0, jacobian: float = 0.0, spread: float = 0.0):
        super().__init__()
        places = [name for name, layer in flow.named_modules() if isinstance(layer, Continuous)]
        if not places:
            names = ", ".join(dict.fromkeys(type(layer).__name__ for layer in flow.transform.transforms))
            raise ValueError(
                f"regularized likelihood: expected a Continuous layer, got {names}; choose ffjord, or leave train.kinetic, "
                "train.jacobian and train.end_spread out"
            )
        if not (kinetic >= 0 and jacobian >= 0 and 0 <= spread < 1):
            raise ValueError(
                f"regularized likelihood: expected weights of at least 0 and a spread in [0, 1), got {kinetic}, {jacobian} and {spread}"
            )
        around = {flow.get_submodule(".".join(place.split(".")[:i])) for place in places for i in range(1, place.count(".") + 1)}
        deaf = {type(part).__name__ for part in around if not _passes_on(part)}
        if deaf:
            raise ValueError(
                f"regularized likelihood: a Continuous layer stands within {', '.join(sorted(deaf))}, where no price reaches it; "
                "put it into a Chain or Factor, or leave train.kinetic, train.jacobian and train.end_spread out"
            )
        self.flow = flow
        self.kinetic, self.jacobian, self.spread = kinetic, jacobian, spread

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        if not self.training:
            return weighted_mean(-self.flow(x, context), weight)
        self.flow.check(x, context)
        given = None if context is None else self.flow.embedding(context)
        end = 1 + self.spread * (2 * torch.rand((), device=x.device) - 1) if self.spread else 1.0

        def priced(layer: Transform, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
            if not isinstance(layer, Continuous):
                return layer.through(priced, x, context)
            course = layer.course(x, context, end)
            return course.z, course.ldj - self.kinetic * course.kinetic - self.jacobian * course.jacobian

        z, gain = priced(self.flow.transform, x, given)
        return weighted_mean(-gain - self.flow.base.log_prob(z, self.flow.base.seen(given)), weight)


def _passes_on(part: nn.Module) -> bool:
    """Whether a call on what holds it comes to what it holds."""
    return isinstance(part, nn.ModuleList) or (isinstance(part, Transform) and type(part).through is not Transform.through)
