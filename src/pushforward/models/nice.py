"""NICE."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import MLP
from ..transforms import Coupling, Elementwise
from ..univariate import Additive, Affine
from .common import alternating, vector
from .recipe import recipe


@recipe
def nice(shape: Sequence[int], *, steps: int = 4, width: int = 128, depth: int = 2, context: int = 0) -> Flow:
    """NICE: additive couplings that alternate which half they read, then one diagonal scaling (Dinh et al., 2014, arXiv:1410.8516).

    ``z_b = x_b + m(x_a)`` with ``x_a`` the even features and the odd ones in turn; at last ``z = exp(s) x + t``, so that the volume
    changes by one constant. Rows ``(B, D)``. Density and samples take one pass of each net; both are exact.

    Caveats: weak beside couplings that scale (:func:`real_nvp`); a model to learn from.

    Reference: NICE: Non-linear Independent Components Estimation, Dinh, Krueger, Bengio, 2014, arXiv:1410.8516. Departures: a normal
    base, where the paper prefers the logistic for images.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: couplings (4 in the paper).
        width: hidden units of the nets.
        depth: hidden layers of the nets.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> nice((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        mask = alternating(dim, step)
        layers.append(Coupling(mask, Additive(), MLP(sum(mask) + context, dim - sum(mask), width=width, depth=depth)))
    return Flow(Normal(shape), *layers, Elementwise(Affine(), shape), context=context)
