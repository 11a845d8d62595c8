"""A scalar map with free constants, one set for each feature."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import Transform, sum_event
from ..univariate import Univariate


class Elementwise(Transform):
    r"""``z_i = f(x_i; h_i)`` with learned constants ``h``; ``ldj = sum_i log f'(x_i; h_i)``. Ignores context. Cost O(D).

    Arguments:
        univariate: the scalar map.
        shape: the event's shape, or one that broadcasts to it (``(C, 1, 1)``: one set per channel of an image).

    Example::

        >>> z, ldj = Elementwise(Affine(), (3,))(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, univariate: Univariate, shape: Sequence[int] = (1,)):
        super().__init__()
        self.univariate = univariate
        start = torch.tensor(univariate.identity).reshape(1, univariate.params, *(1 for _ in shape))
        h = start.expand(1, univariate.params, *shape).clone()
        self.h = nn.Parameter(h, requires_grad=h.numel() > 0)  # DDP waits for a gradient of all that asks for one

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, slope = self.univariate.forward(x, self.h)
        return z, sum_event(slope)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, slope = self.univariate.inverse(z, self.h)
        return x, sum_event(slope)

    def extra_repr(self) -> str:
        return repr(self.univariate)
