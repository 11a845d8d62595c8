"""Monotone rational-quadratic splines."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .. import kernels
from .base import Univariate
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

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or floors that fill the interval.

    Example::

        >>> spline = RationalQuadratic(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (23, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, floor: float = 1e-2):
        check("RationalQuadratic", bins, bound, floor)
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.params = 3 * bins - 1
        self.identity = (0.0,) * self.params

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.spline(self._plain(inverse=False), x, h, self._kind, inverse=False)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.spline(self._plain(inverse=True), z, h, self._kind, inverse=True)

    @property
    def _kind(self) -> kernels.Spline:
        return kernels.Spline(self.bins, self.bound, self.floor)

    def _plain(self, inverse: bool) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        def curve(y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return evaluate(y, h, self.bins, self.bound, self.floor, inverse)

        return lambda x, h: with_tails(curve, x, h, self.bound)
