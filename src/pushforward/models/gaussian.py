"""One Gaussian of full covariance, as an affine flow."""

from __future__ import annotations

from collections.abc import Sequence

from ..core import Flow, Transform
from ..distributions import Normal
from ..transforms import ActNorm, LULinear
from ..univariate import Affine
from .common import conditioner, vector


def gaussian(shape: Sequence[int], *, width: int = 64, depth: int = 2, context: int = 0) -> Flow:
    """``z = LU (x - mu) / sigma``; with a context, a net of ``depth`` layers of ``width`` units shifts and scales the outcome."""
    dim = vector(shape)
    layers: list[Transform] = [ActNorm(dim), LULinear(dim)]
    if context:
        layers.append(conditioner(Affine(), dim, context, width, depth))
    return Flow(Normal(shape), *layers, context=context)
