"""Masked autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm
from ..univariate import Affine
from .common import Net, Order, autoregressive, vector
from .recipe import recipe


@recipe
def maf(
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
    """Masked autoregressive flow: affine autoregressive layers in alternating order (Papamakarios et al., 2017, arXiv:1705.07057).

    ``z_i = x_i exp(s_i(x_<i)) + t_i(x_<i)`` in each layer, s and t from one masked net. Rows ``(B, D)``. Density in one pass; samples
    visit the features one after the other, in D steps with the arithmetic of one pass. Both are exact.

    Caveats: affine maps bend a density only by composition: on tables :func:`nsf` fits better at equal time, and costs more a step.

    Reference: Masked Autoregressive Flow for Density Estimation, Papamakarios, Pavlakou, Murray, 2017, arXiv:1705.07057. Departures:
    ActNorm where the paper has batch norm, and log-scales within +-5.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        width: hidden units of the masked nets.
        depth: their hidden layers; with ``residual``, blocks.
        residual: pre-activation blocks of two layers.
        order: in which layers visit the features: back and forth ("alternating"), drawn for each layer ("random"), or always "same".
        net: "made", or "transformer", for which ``depth`` counts blocks of tokens of ``width`` numbers (start from 32) and ``residual``
            has no effect.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> maf((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        layer = autoregressive(Affine(), dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net)
        layers += [ActNorm(dim), layer]
    return Flow(Normal(shape), *layers, context=context)
