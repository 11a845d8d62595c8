"""A baseline: a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import GaussianMixture
from ..transforms import ActNorm
from ..univariate import Affine
from .common import conditioner, vector
from .recipe import recipe


@recipe
def gaussian_mixture(shape: Sequence[int], *, components: int = 20, width: int = 64, depth: int = 2, context: int = 0) -> Flow:
    """A mixture of Gaussians of full covariance, fitted by EM and then by gradients: a baseline.

    ``p(x) = sum_k pi_k N(x; mu_k, Sigma_k)``; with a context, a net shifts and scales the whole mixture. Rows ``(B, D)``. The density
    costs O(components D^2) a row; samples are drawn directly. Both are exact.

    Caveats: with the components that the baseline of ``fit`` has, it begins where that one ends, so that this is how to have it as a run.

    Reference: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird, Rubin, 1977 (the start, by
    :class:`~pushforward.distributions.GaussianMixture`).

    Arguments:
        shape: of a row, ``(D,)``.
        components: Gaussians.
        width: hidden units of the net that reads the context.
        depth: its hidden layers.
        context: numbers to condition on, 0 for none.

    Raises:
        ValueError: the shape is no vector's, or an option is not of the kind that its annotation says.

    Example::

        >>> gaussian_mixture((4,), components=3).log_prob(torch.randn(8, 4)).shape
        torch.Size([8])
    """
    dim = vector(shape)
    layers: list[Transform] = [ActNorm(dim)]
    if context:
        layers.append(conditioner(Affine(), dim, context, width, depth))
    return Flow(GaussianMixture(shape, components), *layers, context=context)
