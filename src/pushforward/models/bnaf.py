"""Block neural autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm, BlockAutoregressive, Reverse
from .common import vector
from .recipe import recipe


@recipe
def bnaf(shape: Sequence[int], *, steps: int = 3, width: int = 16, depth: int = 2, floor: float = 0.01, context: int = 0) -> Flow:
    """Block neural autoregressive flow: dense nets of block triangular weights (De Cao et al., 2019, arXiv:1904.04676).

    ``z_i = c_i x_i + net_i(x_<i, x_i)`` with ``net_i`` increasing in x_i, all D of them one net with ``width`` units for each feature;
    each layer reads the features in the reverse order of the one before. Rows ``(B, D)``. Density in one pass; samples by numerical
    inversion, feature by feature. The density is exact.

    Caveats: one pass costs ``(D width)^2`` multiplications a layer: for few features.

    Reference: Block Neural Autoregressive Flow, De Cao, Titov, Aziz, 2019, arXiv:1904.04676. Departure: each layer's linear term stands
    for the paper's gates between layers, and makes the layer onto R^D, which the paper's is not.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        width: tanh units for each feature in each layer of a net.
        depth: hidden layers of a net.
        floor: the least slope of a layer, in (0, 1).
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> bnaf((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        layers += [ActNorm(dim)] + ([Reverse(dim)] if step else [])
        layers.append(BlockAutoregressive(dim, width=width, depth=depth, floor=floor, context=context))
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
