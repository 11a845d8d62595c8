"""Inverse autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Inverse, Transform
from ..distributions import Normal
from ..transforms import ActNorm
from ..univariate import Affine, Gate
from .common import Net, Order, autoregressive, vector
from .recipe import recipe


@recipe
def iaf(
    shape: Sequence[int],
    *,
    steps: int = 5,
    width: int = 128,
    depth: int = 2,
    residual: bool = False,
    order: Order = "alternating",
    net: Net = "made",
    gate: bool = False,
    context: int = 0,
) -> Flow:
    """Inverse autoregressive flow: MAF's layers run the other way (Kingma et al., 2016, arXiv:1606.04934).

    ``x_i = z_i exp(s_i(z_<i)) + t_i(z_<i)`` in each layer, s and t from one masked net. Rows ``(B, D)``. Samples and their own density
    take one pass: for variational inference and distillation. The density of other points takes D steps. Both are exact. With ``gate``,
    ``x_i = g_i z_i + (1 - g_i) m_i`` with ``g_i = sigmoid(s_i + 2)``: each step contracts, which is stable in a posterior.

    Caveats: training by maximum likelihood goes the slow way; to fit data take :func:`maf`.

    Reference: Improving Variational Inference with Inverse Autoregressive Flow, Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling,
    2016, arXiv:1606.04934. Departures: ActNorm between layers, and exponential scales within ``exp(+-5)`` unless ``gate`` is asked for.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: layers.
        width: hidden units of the masked nets.
        depth: their hidden layers; with ``residual``, blocks.
        residual: pre-activation blocks of two layers.
        order: in which layers visit the features: back and forth ("alternating"), drawn for each layer ("random"), or always "same".
        net: "made", or "transformer", for which ``depth`` counts blocks of tokens of ``width`` numbers (start from 32) and ``residual``
            has no effect.
        gate: the paper's gates in place of exponential scales.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> iaf((4,)).sample((8,)).shape
        torch.Size([8, 4])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        layer = autoregressive(
            Gate() if gate else Affine(), dim, step, order=order, width=width, depth=depth, residual=residual, context=context, net=net
        )
        layers += [ActNorm(dim), Inverse(layer)]
    return Flow(Normal(shape), *layers, context=context)
