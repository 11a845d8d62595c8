"""The likelihood of continuous flows with a price on how they get there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Flow, zeros
from ..transforms import Continuous
from .likelihood import weighted_mean


class RegularizedLikelihood(nn.Module):
    r"""``-log p(x) + kinetic int |f|^2 dt + jacobian int |df/dz e|^2 dt``, for flows with :class:`Continuous` layers, in nats per row.

    Straight ways of even speed need few steps of a solver. The second integral has the products with the probes that the trace takes
    anyway; with ``spread=b`` each batch ends at a time drawn from ``U(1 - b, 1 + b)``, which keeps velocities smooth near the end. Both
    integrals are divided by the number of dimensions. In evaluation the loss is the negative log-likelihood, whatever the options.

    Cost: that of the likelihood.

    References: How to Train Your Neural ODE, Finlay, Jacobsen, Nurbekyan, Oberman, 2020, arXiv:2002.02798 (weights of .01); the end:
    STEER, Ghosh, Behl, Dupont, Torr, Namboodiri, 2020, arXiv:2006.10711.

    Arguments:
        flow: a chain in which continuous layers stand.
        kinetic: the weight of the kinetic energy.
        jacobian: the weight of the squared norm of the Jacobian.
        spread: b, below 1.

    Raises:
        ValueError: no layer of the chain is continuous, or options out of their range.

    Example::

        >>> flow = Flow(Normal((2,)), Continuous(TimeMLP(2, width=16), (2,)))
        >>> RegularizedLikelihood(flow, kinetic=0.01, jacobian=0.01)(torch.randn(8, 2)).shape
        torch.Size([])
    """

    def __init__(self, flow: Flow, *, kinetic: float = 0.0, jacobian: float = 0.0, spread: float = 0.0):
        super().__init__()
        if not any(isinstance(layer, Continuous) for layer in flow.transform.transforms):
            names = ", ".join(dict.fromkeys(type(layer).__name__ for layer in flow.transform.transforms))
            raise ValueError(
                f"regularized likelihood: expected a Continuous layer, got {names}; choose ffjord, or leave train.kinetic, "
                "train.jacobian and train.spread out"
            )
        if not (kinetic >= 0 and jacobian >= 0 and 0 <= spread < 1):
            raise ValueError(
                f"regularized likelihood: expected weights of at least 0 and a spread in [0, 1), got {kinetic}, {jacobian} and {spread}"
            )
        self.flow = flow
        self.kinetic, self.jacobian, self.spread = kinetic, jacobian, spread

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        if not self.training:
            return weighted_mean(-self.flow(x, context), weight)
        self.flow.check(x, context)
        given = None if context is None else self.flow.embedding(context)
        z, ldj, price = x, zeros(x), zeros(x)
        for layer in self.flow.transform.transforms:
            if isinstance(layer, Continuous):
                end = 1 + self.spread * (2 * torch.rand((), device=x.device) - 1) if self.spread else 1.0
                z, step, energy, norm = layer.course(z, given, end)
                price = price + (self.kinetic * energy + self.jacobian * norm) / z[0].numel()
            else:
                z, step = layer(z, given)
            ldj = ldj + step
        return weighted_mean(price - ldj - self.flow.base.log_prob(z, self.flow.base.seen(given)), weight)
