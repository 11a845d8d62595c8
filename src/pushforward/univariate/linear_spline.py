"""Monotone linear splines: a histogram for a density."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Univariate
from .knots import check, knots, locate, shares, with_tails


class LinearSpline(Univariate):
    r"""A monotone spline of ``bins`` straight pieces of equal width on ``[-bound, bound]``, the identity outside.

    In bin k, of width ``w = 2 bound / bins`` and height v_k, ``z = z_k + v_k (x - x_k) / w`` and ``log dz/dx = log(v_k / w)``.

    ``h`` is ``(B or 1, bins, C, *rest)``: logits of the heights; ``h = 0`` is the identity. Both directions cost O(bins) and are exact.

    Caveats: the log derivative is constant within a bin and jumps at the knots. Its gradient with respect to x is therefore zero:
    what comes before the spline (on the data side in training, on the latent side when gradients go through samples) hears
    of the log derivative only through the nets that read its output, never that another bin would be better. Gradients with
    respect to h are right for fixed x, so one such layer, or couplings whose nets see the data, can learn; a reverse KL through
    samples is biased. Use a smoother spline where that matters. Equal widths for the same reason: the likelihood
    would jump as a knot passes a point, and its gradient would not know.

    Where it departs from the paper: every bin takes at least ``floor`` of the height, so that slopes lie in ``[bins floor, bins]``
    and float32 round trips hold whatever the parameters; and the interval is one of a line.

    Reference: Neural Importance Sampling, Müller, McWilliams, Rousselle, Gross, Novák, 2018, arXiv:1808.03856, section 4.1.

    Arguments:
        bins: the number of pieces.
        bound: the half-width of the interval. Data beyond it are left as they are, so standardize first.
        floor: the least height of a bin, as a share of the interval.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or floors that fill the interval.

    Example::

        >>> spline = LinearSpline(bins=8)
        >>> z, slope = spline.forward(torch.randn(32, 3), torch.randn(32, spline.params, 3))
        >>> spline.params, z.shape, slope.shape
        (8, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0, floor: float = 1e-3):
        check("LinearSpline", bins, bound, floor)
        self.bins = bins
        self.bound = bound
        self.floor = floor
        self.params = bins
        self.identity = (0.0,) * self.params

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=False), x, h, self.bound)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return with_tails(lambda y, h: self._evaluate(y, h, inverse=True), z, h, self.bound)

    def _evaluate(self, y: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        heights = shares(h, self.floor)
        widths = torch.full_like(heights, 1 / self.bins)
        _, bin = locate(y, knots(widths, self.bound), knots(heights, self.bound), inverse)
        slope = (bin.height / bin.width).log()
        if inverse:
            return bin.left + bin.width * ((y - bin.bottom) / bin.height), -slope
        return bin.bottom + bin.height * ((y - bin.left) / bin.width), slope
