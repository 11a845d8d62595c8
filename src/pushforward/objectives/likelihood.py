"""Maximum likelihood: the forward KL divergence from the data, up to their entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core import Distribution


class MaximumLikelihood(nn.Module):
    r"""Mean negative log-likelihood, ``-sum_i w_i log p(x_i | c_i) / sum_i w_i``, in nats per row.

    It calls ``flow(x, context)``, so that DDP, FSDP and torch.compile may wrap it. For a flow whose ``kind`` is "bound"
    this is an upper bound of the negative log-likelihood. Rows of weight zero count nothing, even where the density is zero.

    Arguments:
        flow: the model.

    Example::

        >>> MaximumLikelihood(Flow(Normal((2,)), Elementwise(Affine(), (2,))))(torch.randn(8, 2)).shape
        torch.Size([])
    """

    def __init__(self, flow: Distribution):
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        return weighted_mean(-self.flow(x, context), weight)


def weighted_mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    """``sum_i w_i l_i / sum_i w_i`` of losses ``(B,)``; those of weight zero count nothing, even where they are infinite."""
    if weight is None:
        return loss.mean()
    weight = weight.to(loss.dtype)
    loss = torch.where(weight > 0, loss, 0.0)  # 0 * inf is not a number
    return (weight * loss).sum() / weight.sum().clamp_min(torch.finfo(loss.dtype).tiny)
