"""Flow matching: a continuous flow trained without a solver."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Chain, Flow
from ..distributions import Normal
from ..transforms import Continuous
from .likelihood import weighted_mean

Pairing = Literal["independent", "optimal"]


class FlowMatching(nn.Module):
    r"""``E |f(z_t, t) - (e - y)|^2`` on the straight line ``z_t = (1 - t) y + t e`` from data y to noise e, t uniform, per number.

    The minimum is the velocity that carries the data's distribution to the normal, without an integral in training. ``pairing="optimal"``
    gives each row of the batch the noise that makes the sum of squared distances least, which straightens the ways; rows of different
    contexts never exchange noise, or ``p(x | context)`` would be skewed: within equal contexts alone, so that for contexts that all differ
    it is the independent pairing. Data are not blurred (sigma = 0): dequantize whole numbers.

    In evaluation the value is minus the log-likelihood by the solver, in nats: the loss does not rank models.

    Cost: one pass of the net with its gradient; "optimal" an assignment, O(B^3) in the rows of a batch at worst.

    References: Flow Matching for Generative Modeling, Lipman, Chen, Ben-Hamu, Nickel, Le, 2022, arXiv:2210.02747; Flow Straight and Fast,
    Liu, Gong, Liu, 2022, arXiv:2209.03003; minibatch optimal transport: Tong et al., 2023, arXiv:2302.00482.

    Arguments:
        flow: a normal base right behind one :class:`~pushforward.transforms.Continuous`; layers before it carry data to y, and this loss
            does not train them.
        pairing: "independent" or "optimal".

    Raises:
        ValueError: a flow of other layers, or another pairing.

    Example::

        >>> FlowMatching(models.ffjord((3,), width=16))(torch.randn(8, 3)).shape
        torch.Size([])
    """

    def __init__(self, flow: Flow, *, pairing: Pairing = "independent"):
        super().__init__()
        layers = list(flow.transform.transforms)
        places = [i for i, layer in enumerate(layers) if isinstance(layer, Continuous)]
        if len(places) != 1 or places[0] != len(layers) - 1 or not isinstance(flow.base, Normal):
            names = ", ".join(dict.fromkeys(type(layer).__name__ for layer in layers))
            raise ValueError(
                f"flow matching: expected a normal base behind one Continuous layer, got {names}; choose ffjord, or for images "
                "ffjord_image with model.net=unet and model.blocks=1, or train by the likelihood"
            )
        if pairing not in get_args(Pairing):
            raise ValueError(f"flow matching: expected pairing independent or optimal, got {pairing!r}")
        self.flow, self.pairing = flow, pairing

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        if not self.training:
            return weighted_mean(-self.flow(x, context), weight)
        self.flow.check(x, context)
        given = None if context is None else self.flow.embedding(context)
        *before, layer = self.flow.transform.transforms
        assert isinstance(layer, Continuous)
        with torch.no_grad():
            y = Chain(*before)(x, given)[0]
        e = torch.randn_like(y)
        if self.pairing == "optimal":
            e = e.index_select(0, assigned(y, e, context))
        t = torch.rand(len(y), *(1 for _ in y.shape[1:]), dtype=y.dtype, device=y.device)
        velocity = layer.net((1 - t) * y + t * e, t.flatten(), given)
        return weighted_mean((velocity - (e - y)).square().flatten(1).mean(1), weight)


def assigned(y: Tensor, e: Tensor, context: Tensor | None) -> Tensor:
    """Which e each y takes, one to one, so that the squared distances add up to the least, among rows of equal contexts."""
    from scipy.optimize import linear_sum_assignment

    order = torch.arange(len(y))
    groups = torch.zeros(len(y)) if context is None else torch.unique(context.flatten(1), dim=0, return_inverse=True)[1].cpu()
    for group in groups.unique():
        rows = torch.nonzero(groups == group).flatten()
        if len(rows) > 1:
            there = rows.to(y.device)
            cost = torch.cdist(y[there].flatten(1).double(), e[there].flatten(1).double()).square()
            order[rows] = rows[torch.from_numpy(np.asarray(linear_sum_assignment(cost.cpu().numpy())[1]))]
    return order.to(y.device)
