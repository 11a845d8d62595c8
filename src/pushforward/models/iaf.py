"""Inverse autoregressive flow: MAF's layers run the other way (Kingma et al., 2016, arXiv:1606.04934)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..nets import MADE
from ..transforms import ActNorm, Autoregressive
from ..univariate import Affine
from .common import vector


def iaf(shape: Sequence[int], *, steps: int = 5, width: int = 128, depth: int = 2, residual: bool = False, context: int = 0) -> Flow:
    """Sampling with its density in one pass, the density of other points in D: for variational inference and distillation.

    Arguments: ``steps`` layers with masked nets of ``depth`` layers of ``width`` units (``residual``: blocks of two);
    ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        order = range(dim) if step % 2 == 0 else range(dim - 1, -1, -1)
        net = MADE(dim, 2, width=width, depth=depth, context=context, order=order, residual=residual)
        layers += [ActNorm(dim), Inverse(Autoregressive(Affine(), net))]
    return Flow(Normal(shape), *layers, context=context)
