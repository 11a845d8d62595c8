"""Increasing polynomials, the line onto the line."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Univariate
from .bisection import invert, wide


class OddPolynomial(Univariate):
    r"""``z = h_0 + a_1 x + a_3 x^3 / 3! + a_5 x^5 / 5! + ...`` with positive coefficients, so increasing and onto the line.

    ``a_1 = floor + (1 - floor) softplus(h_1) / log 2`` and ``a_k = softplus(h_k)``; ``dz/dx = sum_k a_k x^(k-1) / (k-1)!``.

    ``h`` is ``(B or 1, 1 + (degree + 1) / 2, C, *rest)``: the shift, then a_1, a_3, ... before softplus. ``identity`` has
    ``a_1 = 1`` and the others at softplus(-5) = 0.007, within 0.011 of the identity on [-2, 2]: at 0 itself they could not learn.
    Forward costs O(degree) and is exact; the inverse is numerical, some 50 times that, with exact gradients.

    Caveats: the slope is even about x = 0 and least there, so the map only lightens tails; compose it with shifts, or take
    :class:`SumOfSquares`. It grows as ``x^degree``: standardize first; degree 5 overflows float32 beyond x = 1e7.

    Arguments:
        degree: the greatest power, odd.
        floor: the least slope.

    Raises:
        ValueError: a degree that is not odd and positive, or a floor not in (0, 1).

    Example::

        >>> polynomial = OddPolynomial(degree=5)
        >>> z, slope = polynomial.forward(torch.randn(32, 3), torch.randn(32, polynomial.params, 3))
        >>> polynomial.params, z.shape, slope.shape
        (4, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, degree: int = 5, floor: float = 0.1):
        if degree < 1 or degree % 2 == 0:
            raise ValueError(f"OddPolynomial: degree must be odd and positive, got {degree}")
        if not 0 < floor < 1:
            raise ValueError(f"OddPolynomial: floor must lie in (0, 1), got {floor}")
        self.degree = degree
        self.floor = floor
        self.params = 1 + (degree + 1) // 2
        self.identity = (0.0, 0.0, *(-5.0,) * (self.params - 2))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        z, slope = odd(y, *self._coefficients(h.to(y.dtype)))
        return z.to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        shift, a = self._coefficients(h.to(y.dtype))
        with torch.no_grad():
            # |z - h_0| is at least its greatest term and at most all terms as large as that
            far, near = torch.full_like(y, math.inf), torch.full_like(y, math.inf)
            for i, term in enumerate(a):
                ratio = (y - shift).abs() / term.clamp_min(torch.finfo(y.dtype).tiny)
                far = torch.minimum(far, ratio ** (1 / (2 * i + 1)))
                near = torch.minimum(near, (ratio / len(a)) ** (1 / (2 * i + 1)))
            low, high = torch.where(y >= shift, near, -far), torch.where(y >= shift, far, -near)
        x, slope = invert(lambda x: odd(x, shift, a), y, low, high, doublings=1)
        return x.to(z.dtype), slope

    def _coefficients(self, h: Tensor) -> tuple[Tensor, list[Tensor]]:
        """h_0, and the coefficients of x, x^3, x^5, ..."""
        shift, first, *rest = h.unbind(1)
        linear = self.floor + (1 - self.floor) / math.log(2) * F.softplus(first)
        return shift, [linear, *(F.softplus(term) / math.factorial(2 * i + 3) for i, term in enumerate(rest))]


class SumOfSquares(Univariate):
    r"""``z = h_0 + int_0^x (floor + sum_j p_j(u)^2) du`` with polynomials ``p_j`` of the given degree: increasing and onto the line.

    ``log dz/dx = log(floor + sum_j p_j(x)^2)``; z is a polynomial of degree ``2 degree + 1``, and with two squares every
    polynomial of that degree whose slope is at least floor is among them.

    ``h`` is ``(B or 1, 1 + squares (degree + 1), C, *rest)``: the shift, then the coefficients of each p_j, constant first.
    ``identity`` makes every p_j a constant, their squares adding up to ``1 - floor``; the constants differ, else the p_j would
    receive equal gradients and stay equal (as it is, plain gradient descent on free constants keeps them proportional, and
    Adam parts them slowly: start elsewhere, or let a net supply h).
    Forward costs O(squares degree^2) and is exact; the inverse is numerical, some 50
    evaluations, with exact gradients.

    Where it departs from the paper: the positive constant is inside of the integral, as a least slope, so that the inverse is
    well conditioned whatever the parameters, and coefficients are free (they are a net's output there too).

    Caveats: z grows as ``x^(2 degree + 1)``: standardize first; with degree 2 it overflows float32 beyond x = 1e7.

    Reference: Sum-of-Squares Polynomial Flow, Jaini, Selby, Yu, 2019, arXiv:1905.02325.

    Arguments:
        squares: how many polynomials.
        degree: the degree of each.
        floor: the least slope.

    Raises:
        ValueError: no squares, a negative degree, or a floor not in (0, 1).

    Example::

        >>> polynomial = SumOfSquares(squares=2, degree=2)
        >>> z, slope = polynomial.forward(torch.randn(32, 3), torch.randn(32, polynomial.params, 3))
        >>> polynomial.params, z.shape, slope.shape
        (7, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, squares: int = 2, degree: int = 2, floor: float = 0.1):
        if squares < 1:
            raise ValueError(f"SumOfSquares: expected at least 1 square, got {squares}")
        if degree < 0:
            raise ValueError(f"SumOfSquares: degree must not be negative, got {degree}")
        if not 0 < floor < 1:
            raise ValueError(f"SumOfSquares: floor must lie in (0, 1), got {floor}")
        self.squares = squares
        self.degree = degree
        self.floor = floor
        self.params = 1 + squares * (degree + 1)
        total = squares * (squares + 1) / 2
        constants = (math.sqrt((1 - floor) * (j + 1) / total) for j in range(squares))
        self.identity = (0.0, *(value for constant in constants for value in (constant, *(0.0,) * degree)))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        z, slope = squared(y, *self._coefficients(h.to(y.dtype)), self.floor)
        return z.to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        shift, p, powers = self._coefficients(h.to(y.dtype))
        end = ((y - shift) / self.floor).detach()  # the slope is at least floor, so x lies between 0 and here
        x, slope = invert(lambda x: squared(x, shift, p, powers, self.floor), y, end.clamp_max(0), end.clamp_min(0), doublings=1)
        return x.to(z.dtype), slope

    def _coefficients(self, h: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """h_0; of all p_j, ``(B or 1, squares, C, *rest)`` for each power; of the integral of their squares, from x on."""
        p = list(h[:, 1:].unflatten(1, (self.squares, self.degree + 1)).unbind(2))
        powers = []
        for m in range(2 * self.degree + 1):
            pairs = [(p[i] * p[m - i]).sum(1) for i in range(max(0, m - self.degree), min(m, self.degree) + 1)]
            powers.append(torch.stack(pairs).sum(0) / (m + 1))
        return h[:, 0], p, powers


def horner(x: Tensor, coefficients: list[Tensor]) -> Tensor:
    """``sum_i c_i x^i``."""
    out = coefficients[-1].expand(torch.broadcast_shapes(coefficients[-1].shape, x.shape))
    for c in reversed(coefficients[:-1]):
        out = out * x + c
    return out


def odd(x: Tensor, shift: Tensor, a: list[Tensor]) -> tuple[Tensor, Tensor]:
    """``shift + sum_i a_i x^(2i+1)`` and the logarithm of its slope."""
    square = x.square()
    return shift + x * horner(square, a), horner(square, [(2 * i + 1) * term for i, term in enumerate(a)]).log()


def squared(x: Tensor, shift: Tensor, p: list[Tensor], powers: list[Tensor], floor: float) -> tuple[Tensor, Tensor]:
    """``shift + floor x + int_0^x sum_j p_j^2`` and the logarithm of its slope."""
    z = shift + x * (floor + horner(x, powers))
    return z, (floor + horner(x.unsqueeze(1), p).square().sum(1)).log()
