"""Rational-quadratic splines whose knots are free, as other libraries have them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Univariate
from .floor_affine import inverse_softplus, softclip
from .knots import check, knots, locate, pick, shares, with_tails
from .rational import piece, root


class FreeSpline(Univariate):
    r"""A monotone spline of rational-quadratic pieces on ``[-bound, bound]``, the identity outside, with free derivatives at its knots.

    The pieces are those of :class:`RationalQuadratic`, where a knot's derivative is held near the slopes beside it; here it is a
    parameter by itself, as in the paper and in the libraries that follow it. A derivative far from those slopes bends the curve within
    a small part of a bin, where float32 can't tell one number from the next: round trips are then off by up to the width of the bin.

    ``h`` is ``(B or 1, 3 bins - 1, C, *rest)``: bins numbers for the widths, bins for the heights, bins - 1 for the derivatives at the
    inner knots; at the ends the derivative is 1. Both directions cost O(bins) and are exact: the inverse is the root of a quadratic.

    Subclasses say by :meth:`parts` how numbers become widths, heights and derivatives.

    Reference: Neural Spline Flows, Durkan, Bekasov, Murray, Papamakarios, 2019, arXiv:1906.04032.
    """

    bins: int
    bound: float

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of the interval that the bins take on either axis, ``(B or 1, bins, C, *rest)`` twice, and derivatives at inner knots."""
        raise NotImplementedError(f"{type(self).__name__} does not define parts")

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=False), x, h, self.bound)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=True), z, h, self.bound)

    def _evaluate(self, y: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        widths, heights, inner = self.parts(h)
        k, bin = locate(y, knots(widths, self.bound), knots(heights, self.bound), inverse)
        end = torch.ones_like(inner[:, :1])
        derivatives = torch.cat([end, inner, end], 1)
        flat = bin.width / bin.height
        a, b = pick(derivatives, k) * flat, pick(derivatives, k + 1) * flat
        if inverse:
            t = root(((y - bin.bottom) / bin.height).clamp(0, 1), a, b)
            return bin.left + bin.width * t, flat.log() - piece(t, a, b)[1]
        value, slope = piece((y - bin.left) / bin.width, a, b)
        return bin.bottom + bin.height * value, slope - flat.log()


class SoftclipSpline(FreeSpline):
    r"""A :class:`FreeSpline` whose parameters are softly clipped, as zuko's are.

    With ``c(v, B) = v / (1 + |v| / B)`` and ``B = |log slope|``: shares are the softmax of ``c(h, B / 2)``, so that no bin is more than
    ``1 / slope`` times another; derivatives are ``exp(c(h, B))``. ``h = 0`` is the identity.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        slope: the least derivative at a knot, between 0 and 1; the greatest is one over it.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or a slope that is not between 0 and 1.

    Example::

        >>> spline = SoftclipSpline(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (23, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, slope: float = 1e-3):
        check("SoftclipSpline", bins, bound)
        if not 0 < slope < 1:
            raise ValueError(f"SoftclipSpline: slope must be between 0 and 1, got {slope}")
        self.bins, self.bound, self.slope = bins, bound, slope
        self.params = 3 * bins - 1
        self.identity = (0.0,) * self.params

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        limit = -math.log(self.slope)
        widths, heights, inner = h.split([self.bins, self.bins, self.bins - 1], 1)
        return softclip(widths, limit / 2).softmax(1), softclip(heights, limit / 2).softmax(1), softclip(inner, limit).exp()


class SoftplusSpline(FreeSpline):
    r"""A :class:`FreeSpline` whose shares and derivatives have floors, as nflows' and normflows' have.

    Shares are ``least + (1 - bins least) softmax(h)``, derivatives ``least_slope + softplus(h)``. The identity is where the softplus
    gives ``1 - least_slope``.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        least_width: of a bin, as a share of the interval.
        least_height: the same on the other axis.
        least_slope: the least derivative at a knot, between 0 and 1.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, floors that fill the interval, or a slope that is not between 0
            and 1.

    Example::

        >>> spline = SoftplusSpline(bins=10, bound=3.0)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (29, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, least_width: float = 1e-3, least_height: float = 1e-3, least_slope: float = 1e-3):
        check("SoftplusSpline", bins, bound, min(least_width, least_height))
        check("SoftplusSpline", bins, bound, max(least_width, least_height))
        if not 0 < least_slope < 1:
            raise ValueError(f"SoftplusSpline: least_slope must be between 0 and 1, got {least_slope}")
        self.bins, self.bound = bins, bound
        self.least_width, self.least_height, self.least_slope = least_width, least_height, least_slope
        self.params = 3 * bins - 1
        self.identity = (0.0,) * (2 * bins) + (inverse_softplus(1 - least_slope),) * (bins - 1)

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        widths, heights, inner = h.split([self.bins, self.bins, self.bins - 1], 1)
        return shares(widths, self.least_width), shares(heights, self.least_height), self.least_slope + F.softplus(inner)
