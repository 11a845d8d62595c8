"""Monotone Bernstein polynomials with linear tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Univariate
from .bisection import invert, wide
from .knots import pick


class Bernstein(Univariate):
    r"""An increasing polynomial of ``[-bound, bound]`` onto itself, continued by its tangents at the ends: the line onto the line.

    With ``t = (x + bound) / (2 bound)`` in [0, 1], n the degree, Bernstein's basis ``b_{j,n}(t) = C(n, j) t^j (1 - t)^(n-j)`` and
    increasing coefficients ``c_0 = -bound < ... < c_n = bound``,

    ``z = sum_j c_j b_{j,n}(t)``, ``dz/dx = sum_j s_j b_{j,n-1}(t)`` with ``s_j = n (c_{j+1} - c_j) / (2 bound)``.

    The steps of the coefficients are a softmax, ``s_j = floor + (1 - floor) n softmax(h)_j``, whose mean is 1. All terms of the slope are
    positive, and the slope lies between the least and the greatest s_j. The slope is smooth on the whole line but at ``+-bound``,
    where it is continuous.

    ``h`` is ``(B or 1, degree, C, *rest)``; ``h = 0`` is the identity. Forward costs O(degree) and is exact; the inverse is numerical,
    some 50 times that, with exact gradients (:func:`~.bisection.invert`), and exact in the tails.

    Caveats: the basis is broad, of width ``2 bound sqrt(t (1 - t) / n)``, that is 1.2 in the middle for degree 16 and bound 5: for
    narrow or shifted densities put a layer of :class:`Affine` before (and after) it, or lower bound. A softmax can only shift
    slope from place to place; scale is for other layers.

    Where it departs from the papers: coefficients are those of an interval onto itself (theirs end freely), steps have a least
    share so that float32 round trips hold whatever the parameters, and tails are linear (theirs: data squeezed into the interval).

    References: Robust normalizing flows using Bernstein-type polynomials, Ramasinghe, Fernando, Khan, Barnes, 2021, arXiv:2102.03509;
    Deep transformation models: Tackling complex regression problems with neural network based transformation models, Sick,
    Hothorn, Dürr, 2020, arXiv:2004.00464.

    Arguments:
        degree: of the polynomial.
        bound: the half-width of the interval.
        floor: the least slope.

    Raises:
        ValueError: a degree below two, a bound that is not positive, or a floor not in (0, 1).

    Example::

        >>> polynomial = Bernstein(degree=16)
        >>> z, slope = polynomial.forward(torch.randn(32, 3), torch.randn(32, polynomial.params, 3))
        >>> polynomial.params, z.shape, slope.shape
        (16, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, degree: int = 16, bound: float = 5.0, floor: float = 1e-2):
        if degree < 2:
            raise ValueError(f"Bernstein: expected a degree of at least 2, got {degree}")
        if not 0 < bound < math.inf:
            raise ValueError(f"Bernstein: bound must be positive and finite, got {bound}")
        if not 0 < floor < 1:
            raise ValueError(f"Bernstein: floor must lie in (0, 1), got {floor}")
        self.degree = degree
        self.bound = bound
        self.floor = floor
        self.params = degree
        self.identity = (0.0,) * degree

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        z, slope = self._evaluate(y, *self._coefficients(h.to(y.dtype)))
        return z.to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        slopes, c = self._coefficients(h.to(y.dtype))
        with torch.no_grad():  # in a tail the bracket is the root itself
            low = -self.bound + (y + self.bound).clamp_max(0) / slopes[:, 0]
            high = self.bound + (y - self.bound).clamp_min(0) / slopes[:, -1]
            low, high = torch.where(y > self.bound, high, low), torch.where(y < -self.bound, low, high)
        x, slope = invert(lambda x: self._evaluate(x, slopes, c), y, low, high, doublings=0)
        return x.to(z.dtype), slope

    def _coefficients(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """s ``(B or 1, degree, C, *rest)`` and c ``(B or 1, degree + 1, C, *rest)``."""
        slopes = self.floor + (1 - self.floor) * self.degree * h.softmax(1)
        end = torch.full_like(slopes[:, :1], self.bound)
        inner = (2 * self.bound / self.degree) * slopes[:, :-1].cumsum(1) - self.bound
        return slopes, torch.cat([-end, inner, end], 1)

    def _evaluate(self, x: Tensor, slopes: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        inside = x.clamp(-self.bound, self.bound)
        t = (inside + self.bound) / (2 * self.bound)
        basis = bernstein(t, self.degree - 1)
        slope = (slopes * basis).sum(1)
        # summed about the coefficient nearest to t, so that little is lost where the slope is small
        near = pick(c, (self.degree * t).round().long().unsqueeze(1))
        c = c - near.unsqueeze(1)
        # the last step of de Casteljau: one basis serves value and slope
        z = near + ((1 - t) * (c[:, :-1] * basis).sum(1) + t * (c[:, 1:] * basis).sum(1))
        return z + slope * (x - inside), slope.log()


def bernstein(t: Tensor, degree: int) -> Tensor:
    """The basis of polynomials of that degree, ``(B, C, *rest) -> (B, degree + 1, C, *rest)``."""
    binomials = torch.tensor([float(math.comb(degree, j)) for j in range(degree + 1)], dtype=t.dtype, device=t.device)
    return binomials.view(-1, *(1 for _ in t.shape[1:])) * powers(t, degree) * powers(1 - t, degree).flip(1)


def powers(t: Tensor, degree: int) -> Tensor:
    """``1, t, ..., t^degree`` on axis 1, by doubling: ``t ** 0`` has no second derivative at 0, and products are faster too."""
    found = torch.stack([torch.ones_like(t), t], 1)
    while found.shape[1] <= degree:
        found = torch.cat([found, found * (found[:, -1:] * t.unsqueeze(1))], 1)
    return found[:, : degree + 1]
