"""A baseline: one Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm, LULinear
from ..univariate import Affine
from .common import conditioner, vector
from .recipe import recipe


@recipe
def gaussian(shape: Sequence[int], *, width: int = 64, depth: int = 2, context: int = 0) -> Flow:
    """One Gaussian of full covariance, as an affine flow: a baseline.

    ``z = LU (x - mu) / sigma``; with a context, a net shifts and scales the outcome. Rows ``(B, D)``. Density and samples take one
    product with a triangular matrix or two; both are exact.

    Reference: the linear map as in Glow, Kingma, Dhariwal, 2018, arXiv:1807.03039, section 3.2.

    Arguments:
        shape: of a row, ``(D,)``.
        width: hidden units of the net that reads the context.
        depth: its hidden layers.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> gaussian((4,)).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = [ActNorm(dim), LULinear(dim, whiten=True)]
    if context:
        layers.append(conditioner(Affine(), dim, context, width, depth))
    return Flow(Normal(shape), *layers, context=context)
