"""Layers that the kernels compute as a whole: net and scalar map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..kernels import AffineMap, MaskedLayout, Plain, Spline, masked
from ..univariate import Affine, RationalQuadratic, Univariate

__all__ = ["MaskedLayout", "has_code", "whole_layer"]


def has_code(univariate: Univariate) -> bool:
    """Whether there is a kernel for layers of this scalar map."""
    return type(univariate) is Affine or type(univariate) is RationalQuadratic


def whole_layer(
    plain: Plain, univariate: Univariate, net: MaskedLayout, x: Tensor, given: Tensor | None, weights: Sequence[Tensor], inverse: bool
) -> tuple[Tensor, Tensor]:
    """``plain(x, given, *weights)``, by the kernel where that can be; see :func:`pushforward.kernels.masked`."""
    if isinstance(univariate, RationalQuadratic):
        return masked(plain, x, given, weights, Spline(univariate.bins, univariate.bound, univariate.floor), net, inverse)
    assert isinstance(univariate, Affine)
    return masked(plain, x, given, weights, AffineMap(univariate.bound), net, inverse)
