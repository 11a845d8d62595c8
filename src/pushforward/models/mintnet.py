"""MintNet."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm, Mint
from .common import vector
from .recipe import recipe


@recipe
def mintnet(shape: Sequence[int], *, steps: int = 4, width: int = 16, floor: float = 0.01, context: int = 0) -> Flow:
    """MintNet: nets with triangular Jacobians by masks, in both orders in turn (Song, Meng, Ermon, 2019, arXiv:1907.07945).

    ``z = t x + W_3 elu(W_2 elu(W_1 x))`` with masked weights whose diagonal blocks make ``dz_i/dx_i >= t``. Rows ``(B, D)``. Density in
    one pass; samples by sweeps of a pass and scalar inverses, D a layer at most and mostly fewer. The density is exact.

    Caveats: one pass costs ``(D width)^2`` multiplications a layer: for few features.

    Reference: MintNet: Building Invertible Neural Networks with Masked Convolutions, Song, Meng, Ermon, 2019, arXiv:1907.07945.
    Departures: those of the layer, and ActNorm before each pair of layers.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: pairs of layers, one for each order.
        width: hidden units of each feature.
        floor: the least slope of a layer, in (0, 1).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> mintnet((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for _ in range(steps):
        pair = [Mint(shape, width=width, reverse=reverse, context=context, floor=floor) for reverse in (False, True)]
        layers += [ActNorm(dim), *pair]
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
