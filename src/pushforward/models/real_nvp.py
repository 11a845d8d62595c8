"""RealNVP."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..nets import MLP
from ..transforms import ActNorm, Coupling
from ..univariate import Affine
from .common import alternating, vector
from .recipe import recipe


@recipe
def real_nvp(shape: Sequence[int], *, steps: int = 8, width: int = 128, depth: int = 2, context: int = 0) -> Flow:
    """RealNVP: affine couplings that alternate which half they read (Dinh et al., 2016, arXiv:1605.08803).

    ``z_b = x_b exp(s(x_a)) + t(x_a)`` with ``x_a`` the even features and the odd ones in turn. Rows ``(B, D)``; images have
    :func:`real_nvp_image`. Density and samples take one pass of each net; both are exact.

    Caveats: affine maps bend a density only by composition: on tables :func:`nsf` fits better at equal time.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803. Departures: ActNorm
    (arXiv:1807.03039) where the paper has batch norm, and log-scales within +-5.

    Arguments:
        shape: of a row, ``(D,)``.
        steps: couplings.
        width: hidden units of the nets.
        depth: hidden layers of the nets.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> real_nvp((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = []
    for step in range(steps):
        mask = alternating(dim, step)
        net = MLP(sum(mask) + context, 2 * (dim - sum(mask)), width=width, depth=depth)
        layers += [ActNorm(dim), Coupling(mask, Affine(), net)]
    return Flow(Normal(shape), *layers, context=context)
