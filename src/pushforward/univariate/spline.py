"""Monotone rational-quadratic splines."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Univariate
from .fused import Fused
from .rational import evaluate


class RationalQuadratic(Univariate):
    r"""A monotone spline of ``bins`` rational-quadratic pieces on ``[-bound, bound]``, the identity outside.

    In bin k, of width w and height v, with ``t = (x - x_k) / w`` and knot derivatives ``a, b`` in units of the slope v / w,

    ``z = z_k + v (t^2 + a t (1-t)) / (1 + (a + b - 2) t (1-t))``.

    ``h`` is ``(B or 1, 3 bins - 1, C, *rest)``: bins logits of widths, bins logits of heights, bins - 1 knot derivatives;
    ``h = 0`` is the identity. Both directions cost O(bins) and are exact: the inverse is the root of a quadratic.

    Where it departs from the paper: every bin takes at least ``floor`` of the interval on both axes, and a knot's derivative
    is the harmonic mean of the slopes of the two bins beside it times a factor in (1/30, 30). So slopes are bounded whatever
    the parameters, and float32 round trips hold to ``5e-4 bound``; free derivatives give errors as large as the interval.

    Reference: Neural Spline Flows, Durkan, Bekasov, Murray, Papamakarios, 2019, arXiv:1906.04032.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        floor: the least width and height of a bin, as a share of the interval.
        fused: take the gradient by a formula, which is faster and lighter; it can be differentiated once only, so a loss that
            itself holds derivatives (score matching) needs ``fused=False``.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or floors that fill the interval.

    Example::

        >>> spline = RationalQuadratic(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (23, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, floor: float = 1e-2, fused: bool = True):
        if bins < 2:
            raise ValueError(f"RationalQuadratic: expected at least 2 bins, got {bins}")
        if not 0 < bound < float("inf"):
            raise ValueError(f"RationalQuadratic: bound must be positive and finite, got {bound}")
        if not 0 < floor * bins < 1:
            raise ValueError(f"RationalQuadratic: {bins} bins of at least {floor} of the interval each do not fit; lower floor or bins")
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.fused = fused
        self.params = 3 * bins - 1
        self.identity = (0.0,) * self.params

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._evaluate(x, h, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._evaluate(z, h, inverse=True)

    def _evaluate(self, x: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        inside = y.abs() <= self.bound
        # clamped before the maths: a NaN that `where` hides in the value would still poison the gradient
        arguments = y.clamp(-self.bound, self.bound), h.to(y.dtype), self.bins, self.bound, self.floor, inverse
        out, slope = Fused.apply(*arguments) if self.fused else evaluate(*arguments)[:2]
        return torch.where(inside, out, y).to(x.dtype), torch.where(inside, slope, 0.0)
