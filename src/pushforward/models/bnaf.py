"""Block neural autoregressive flow: dense nets of block triangular weights (De Cao et al., 2019, arXiv:1904.04676)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm, BlockAutoregressive, Reverse
from .common import vector


def bnaf(shape: Sequence[int], *, steps: int = 3, width: int = 16, depth: int = 2, floor: float = 0.01, context: int = 0) -> Flow:
    """Density in one pass, sampling by numerical inversion, feature by feature; each layer reads the features in the reverse order.

    Each layer's linear term stands for the paper's gates between layers, and makes the layer onto R^D, which the paper's is not.

    Arguments: ``steps`` layers with nets of ``depth`` layers of ``width`` tanh units for each feature; ``floor``, the least slope
    of a layer; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        layers += [ActNorm(dim)] + ([Reverse(dim)] if step else [])
        layers.append(BlockAutoregressive(dim, width=width, depth=depth, floor=floor, context=context))
    return Flow(Normal(shape), *layers, ActNorm(dim), context=context)
