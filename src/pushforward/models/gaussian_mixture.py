"""A mixture of Gaussians of full covariance, fitted by gradients."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import GaussianMixture
from ..transforms import ActNorm
from ..univariate import Affine
from .common import conditioner, vector


def gaussian_mixture(shape: Sequence[int], *, components: int = 20, width: int = 64, depth: int = 2, context: int = 0) -> Flow:
    """``components`` Gaussians; with a context, a net of ``depth`` layers of ``width`` units shifts and scales the mixture."""
    dim = vector(shape)
    layers: list[Transform] = [ActNorm(dim)]
    if context:
        layers.append(conditioner(Affine(), dim, context, width, depth))
    return Flow(GaussianMixture(shape, components), *layers, context=context)
