"""Inverse autoregressive flow: MAF's layers run the other way (Kingma et al., 2016, arXiv:1606.04934)."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..transforms import ActNorm
from ..univariate import Affine
from .common import Net, Order, autoregressive, vector


def iaf(
    shape: Sequence[int],
    *,
    steps: int = 5,
    width: int = 128,
    depth: int = 2,
    residual: bool = False,
    order: Order = "alternating",
    net: Net = "made",
    context: int = 0,
) -> Flow:
    """Sampling with its density in one pass, the density of other points in D: for variational inference and distillation.

    Arguments: ``steps`` layers with masked nets of ``depth`` layers of ``width`` units (``residual``: blocks of two);
    ``order`` in which each layer visits the features; ``net``: with ``"transformer"`` for the masked nets, ``depth`` counts
    blocks of tokens of ``width`` numbers (start from 32), and ``residual`` is without effect; ``context`` numbers to condition on.
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        layer = autoregressive(Affine(), dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net)
        layers += [ActNorm(dim), Inverse(layer)]
    return Flow(Normal(shape), *layers, context=context)
