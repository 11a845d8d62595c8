"""Monotone cubic splines of Steffen's kind."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Univariate
from .knots import check, knots, locate, pick, shares, with_tails
from .rational import root


class CubicSpline(Univariate):
    r"""A monotone spline of ``bins`` cubic pieces on ``[-bound, bound]``, the identity outside.

    In bin k, of width w and height v, with ``t = (x - x_k) / w`` and knot derivatives ``a, b`` in units of the slope v / w,

    ``z = z_k + v (a t (1-t)^2 + (3 - b) t^2 (1-t) + t^3)``.

    Knot derivatives follow from the bins beside the knot, of slopes s and s', by Steffen's rule: the least of 2 s, 2 s' and the slope
    of the parabola through the three knots. So a and b lie in (0, 2], which makes every piece monotone.

    ``h`` is ``(B or 1, 2 bins, C, *rest)``: bins logits of widths, bins logits of heights; ``h = 0`` is the identity. Forward
    costs O(bins) and is exact. The inverse takes the root of the rational-quadratic piece with the same ends, 0.06 away at most, and
    five steps of Newton, which reach the last digit for all a and b there are. (Cardano's formula loses half of the digits where
    the cubic is nearly quadratic, in float32 all of them; a guarded search takes 16 evaluations in float32 and 40 in float64.)

    Where it departs from the paper: every bin takes at least ``floor`` of the interval on both axes, so that slopes are bounded
    and float32 round trips hold whatever the parameters; and the derivative at an end is not free but that of the tail, 1, or
    2 s where the bin beside it is flatter than 1/2 (Steffen's rule for ends; the density then jumps at the end).

    References: Cubic-Spline Flows, Durkan, Bekasov, Murray, Papamakarios, 2019, arXiv:1906.02145; A simple method for monotonic
    interpolation in one dimension, Steffen, 1990, Astronomy and Astrophysics 239.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        floor: the least width and height of a bin, as a share of the interval.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or floors that fill the interval.

    Example::

        >>> spline = CubicSpline(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (16, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, floor: float = 1e-2):
        check("CubicSpline", bins, bound, floor)
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.params = 2 * bins
        self.identity = (0.0,) * self.params

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=False), x, h, self.bound)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=True), z, h, self.bound)

    def _evaluate(self, y: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        widths, heights = (shares(logits, self.floor) for logits in h.chunk(2, 1))
        k, bin = locate(y, knots(widths, self.bound), knots(heights, self.bound), inverse)
        slopes, ends = steffen(widths, heights)
        own = pick(slopes, k)
        a, b = pick(ends, k) / own, pick(ends, k + 1) / own
        scale = (bin.height / bin.width).log()
        if inverse:
            t = solve(((y - bin.bottom) / bin.height).clamp(0, 1), a, b)
            return bin.left + bin.width * t, -scale - piece(t, a, b)[1].log()
        value, slope = piece((y - bin.left) / bin.width, a, b)
        return bin.bottom + bin.height * value, scale + slope.log()


def steffen(widths: Tensor, heights: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes of the bins, and the derivatives at the knots, one more."""
    slopes = heights / widths
    before, after = slopes[:, :-1], slopes[:, 1:]
    parabola = (before * widths[:, 1:] + after * widths[:, :-1]) / (widths[:, :-1] + widths[:, 1:])
    inner = torch.minimum(parabola, 2 * torch.minimum(before, after))
    first, last = (2 * slopes[:, :1]).clamp_max(1), (2 * slopes[:, -1:]).clamp_max(1)
    return slopes, torch.cat([first, inner, last], 1)


def piece(t: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One cubic piece of [0, 1] onto itself with end derivatives a and b, and its derivative; both in Bernstein's form."""
    s = 1 - t
    return t * (a * s.square() + t * ((3 - b) * s + t)), a * s.square() + 2 * (3 - a - b) * t * s + b * t.square()


def solve(s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """t in [0, 1] with ``piece(t) = s``; the recorded steps of Newton give it the derivatives of the implicit function, the second too."""
    with torch.no_grad():
        t = root(s, a, b)
        for _ in range(3):
            t = newton(t, s, a, b).clamp(0, 1)
    for _ in range(2):
        t = newton(t, s, a, b)
    return t


def newton(t: Tensor, s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    value, slope = piece(t, a, b)
    return t - (value - s) / slope
