"""The border between float64 data and the nets."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Transform


class Cast(Transform):
    """Hands x on in the dtype of the nets, and gives float64 back on the way to data; ``ldj = 0`` in float64.

    Raw rows enter a flow as float64 and the preprocessing ends here: the layers before it work in float64, those after it in
    the dtype that ``flow.to(dtype)`` set, and a float64 ldj starts the sum, so that the whole sum is taken in float64.

    What comes back: x is rounded once to the nets' dtype, so a standardized column returns within ``2**-24 |x - mean|`` in
    float32 (below ``2**-22`` standard deviations within four of them) beside the layers' own round-trip error; an integer
    that was dequantized returns exactly while that is below one half, that is within 8e6 of the column's mean. In float64
    nothing is rounded.

    Example::

        >>> z, ldj = Cast()(torch.randn(8, 2, dtype=torch.float64))
        >>> z.dtype, ldj.dtype
        (torch.float32, torch.float64)
    """

    like: Tensor
    takes = torch.float64

    def __init__(self):
        super().__init__()
        self.register_buffer("like", torch.empty(0), persistent=False)  # follows .to(dtype) as the nets' parameters do

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.to(self.like.dtype), x.new_zeros(x.shape[0], dtype=torch.float64)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.double(), z.new_zeros(z.shape[0], dtype=torch.float64)
