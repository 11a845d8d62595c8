"""Monotone quadratic splines: a density of straight pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Univariate
from .knots import check, knots, locate, pick, shares, with_tails


class QuadraticSpline(Univariate):
    r"""A monotone spline of ``bins`` quadratic pieces on ``[-bound, bound]``, the identity outside; its slope is continuous.

    The slope is ``d_k`` at knot k and linear between knots. In bin k, of width w and height ``v = w (d_k + d_{k+1}) / 2``, with
    ``t = (x - x_k) / w`` and ``a = 2 d_k / (d_k + d_{k+1})``,

    ``z = z_k + v (a t + (1 - a) t^2)``, ``dz/dx = v / w (a (1 - t) + (2 - a) t)``.

    ``h`` is ``(B or 1, 2 bins - 1, C, *rest)``: bins logits of widths, then bins - 1 logits of slopes at the inner knots (bins + 1
    with ``free_ends``); ``h = 0`` is the identity. Both directions cost O(bins) and are exact: the inverse is the root of a
    quadratic, written so that nothing cancels.

    Where it departs from the paper: slopes are at least ``floor`` and every bin takes at least ``floor`` of the interval, which bounds
    the slopes by ``1 / floor`` (``2 / floor`` at free ends) too, so that float32 round trips hold whatever the parameters; and unless
    ``free_ends``, the slope is 1 at the ends, so that it is continuous on the whole line.

    Reference: Neural Importance Sampling, Müller, McWilliams, Rousselle, Gross, Novák, 2018, arXiv:1808.03856, section 4.2.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        floor: the least slope, and the least width of a bin as a share of the interval.
        free_ends: the slopes at the ends are free as in the paper: for densities that live on ``[-bound, bound]``, such as
            those of a uniform base there. Elsewhere the density would jump at the ends.

    Raises:
        ValueError: fewer than three bins (two with ``free_ends``), a bound that is not positive, or floors that fill the interval.

    Example::

        >>> spline = QuadraticSpline(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (15, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, floor: float = 1e-2, free_ends: bool = False):
        check("QuadraticSpline", bins, bound, floor, least=2 if free_ends else 3)
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.free_ends = free_ends
        self.params = 2 * bins + (1 if free_ends else -1)
        self.identity = (0.0,) * self.params

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=False), x, h, self.bound)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=True), z, h, self.bound)

    def _evaluate(self, y: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        widths = shares(h[:, : self.bins], self.floor)
        slopes = self._slopes(widths, h[:, self.bins :])
        heights = widths * (slopes[:, :-1] + slopes[:, 1:]) / 2
        k, bin = locate(y, knots(widths, self.bound), knots(heights, self.bound), inverse)
        a = pick(slopes, k)
        a = 2 * a / (a + pick(slopes, k + 1))  # in (0, 2), the slope where the bin begins, in units of v / w
        scale = (bin.height / bin.width).log()
        if inverse:
            s = ((y - bin.bottom) / bin.height).clamp(0, 1)
            square = (1 - s) * a.square() + s * (2 - a).square()  # of the slope at t, in the same units; no term is negative
            t = 2 * s / (a + square.sqrt())
            return bin.left + bin.width * t, -scale - 0.5 * square.log()
        t = (y - bin.left) / bin.width
        return bin.bottom + bin.height * (t * (a + (1 - a) * t)), scale + (a * (1 - t) + (2 - a) * t).log()

    def _slopes(self, widths: Tensor, logits: Tensor) -> Tensor:
        """At all knots, ``(B or 1, bins + 1, C, *rest)``, such that the heights add up to those of the interval."""
        near = (widths[:, :-1] + widths[:, 1:]) / 2  # how much of the area an inner knot's slope counts for
        if self.free_ends:
            near = torch.cat([widths[:, :1] / 2, near, widths[:, -1:] / 2], 1)
        area = near.sum(1, keepdim=True)
        slopes = self.floor + (1 - self.floor) * area * (logits + near.log()).softmax(1) / near
        if self.free_ends:
            return slopes
        end = torch.ones_like(slopes[:, :1])
        return torch.cat([end, slopes, end], 1)
