"""Monotone rational-quadratic splines."""

from __future__ import annotations

from torch import Tensor

from .. import kernels
from .base import Univariate
from .fused import Fused
from .kernel import Kernel
from .knots import check, with_tails
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
        check("RationalQuadratic", bins, bound, floor)
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.fused = fused
        self.params = 3 * bins - 1
        self.identity = (0.0,) * self.params

    @property
    def scalar_map(self) -> kernels.ScalarMap | None:
        return kernels.ScalarMap(self.bins, self.bound, self.floor) if self.fused and self.bins <= kernels.MOST_BINS else None

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._evaluate(x, h, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self._evaluate(z, h, inverse=True)

    def _evaluate(self, x: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        options = self.bins, self.bound, self.floor, inverse

        def curve(y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            out, slope = Fused.apply(y, h, *options) if self.fused else evaluate(y, h, *options)[:2]
            return out, slope

        def plain(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return with_tails(curve, x, h, self.bound)

        fits = h.shape[0] in (1, x.shape[0]) and h.shape[1] == self.params  # what does not is refused by the plain path
        return Kernel.apply(plain, x, h, *options) if self.scalar_map and fits and kernels.ready(x, h) else plain(x, h)
