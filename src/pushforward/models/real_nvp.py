"""RealNVP: affine couplings that alternate which half they read (Dinh et al., 2016, arXiv:1605.08803)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import MLP
from ..transforms import ActNorm, Coupling
from ..univariate import Affine
from .common import alternating, vector


def real_nvp(shape: Sequence[int], *, steps: int = 8, width: int = 128, depth: int = 2, context: int = 0) -> Flow:
    """For vectors, with ActNorm (arXiv:1807.03039) where the paper has batch norm.

    Arguments: ``steps`` couplings with nets of ``depth`` layers of ``width`` units; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        mask = alternating(dim, step)
        net = MLP(sum(mask) + context, 2 * (dim - sum(mask)), width=width, depth=depth)
        layers += [ActNorm(dim), Coupling(mask, Affine(), net)]
    return Flow(Normal(shape), *layers, context=context)
