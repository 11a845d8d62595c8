"""The integral of a positive net: increasing, the line onto the line."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Univariate
from .bisection import wide
from .knots import pick


class UnconstrainedMonotonic(Univariate):
    r"""``z = h_0 + int_0^x g(t) dt`` with a positive net g, whose own weights are free: an unconstrained monotonic net.

    ``log g(t) = limit tanh(s / limit)`` with ``s = h_1 + sum_j v_j tanh(w_j (t - c_j))``, a net of one hidden layer with h for weights.

    The net is evaluated at ``cells + 1`` equidistant nodes of ``[-bound, bound]``, and what is integrated is the line through those values
    (the trapezoidal rule, with part of the last trapezoid); outside, g stays at its value at the end. So z is that sum, and
    ``log dz/dx`` the logarithm of the straight pieces, its exact derivative: densities are normalized whatever h.

    ``h`` is ``(B or 1, 2 + 3 units, C, *rest)``: h_0, h_1, then all w, all c, all v. ``identity`` has ``v = 0``, and centres spread over
    ``[-bound, bound]``. Both directions cost O(cells units) and are exact: the inverse is the root of a quadratic.

    Caveats: two features of the data closer than a cell, ``2 bound / cells``, are not told apart. The slope has a kink at each node.

    Where it departs from the paper: its quadrature (Clenshaw-Curtis, with nodes between 0 and x) gives a z whose slope is g only as far
    as the rule is exact. For 8 units with weights of standard deviation 1 and ``|x| <= 5``, Gauss's rule or theirs with 32 such nodes
    misses g by 15 % at worst, with 64 by 5e-4: the density is then off by as much, and z need not increase. And its integrand's
    weights are shared by all x, which it tells apart by an embedding that it reads, where here they come from the conditioner.

    Reference: Unconstrained Monotonic Neural Networks, Wehenkel, Louppe, 2019, arXiv:1908.05164.

    Arguments:
        units: hidden units of the integrand.
        cells: trapezoids, an even number (0 is a node).
        bound: the half-width of the interval beyond which the slope is constant: standardize first.
        limit: of the logarithm of the slope, either way.

    Raises:
        ValueError: no units, cells that are not even and positive, a bound or limit that is not positive and finite.

    Example::

        >>> umnn = UnconstrainedMonotonic(units=8)
        >>> z, slope = umnn.forward(torch.randn(32, 3), torch.randn(32, umnn.params, 3))
        >>> umnn.params, z.shape, slope.shape
        (26, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, units: int = 8, cells: int = 48, bound: float = 4.0, limit: float = 3.0):
        if units < 1:
            raise ValueError(f"UnconstrainedMonotonic: expected at least 1 unit, got {units}")
        if cells < 2 or cells % 2:
            raise ValueError(f"UnconstrainedMonotonic: cells must be even and positive, got {cells}")
        for name, value in (("bound", bound), ("limit", limit)):
            if not 0 < value < math.inf:
                raise ValueError(f"UnconstrainedMonotonic: {name} must be positive and finite, got {value}")
        self.units = units
        self.cells = cells
        self.bound = bound
        self.limit = limit
        self.params = 2 + 3 * units
        centres = (bound * ((2 * j + 1) / units - 1) for j in range(units))
        self.identity = (0.0, 0.0, *(units / (2 * bound),) * units, *centres, *(0.0,) * units)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        g, z = self._knots(h.to(y.dtype))
        cell = 2 * self.bound / self.cells
        inside = y.clamp(-self.bound, self.bound)
        k = ((inside + self.bound) / cell).long().clamp(0, self.cells - 1).unsqueeze(1)
        a, b = pick(g, k), pick(g, k + 1)
        t = (inside + self.bound) / cell - k[:, 0]
        slope = a + (b - a) * t
        out = pick(z, k) + cell * t * (a + slope) / 2 + slope * (y - inside)
        return out.to(x.dtype), slope.log()

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        g, z_knots = self._knots(h.to(y.dtype))
        cell = 2 * self.bound / self.cells
        low, high = z_knots[:, 0], z_knots[:, -1]
        inside = torch.where(y >= high, high, torch.where(y <= low, low, y))  # at the ends, minimum would halve the gradient
        k = (inside.unsqueeze(1) > z_knots[:, 1:-1]).sum(1, keepdim=True)
        a, b = pick(g, k), pick(g, k + 1)
        area = (inside - pick(z_knots, k)) / cell
        square = (a.square() + 2 * (b - a) * area).clamp_min(math.exp(-2 * self.limit))  # of the slope at x
        t = (2 * area / (a + square.sqrt())).clamp(0, 1)
        t = torch.where(y >= high, 1.0, torch.where(y <= low, 0.0, t))  # there, rounding in area would count most
        slope = a + (b - a) * t
        x = (k[:, 0] + t) * cell - self.bound + (y - inside) / slope
        return x.to(z.dtype), -slope.log()

    def _knots(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """g and z at the nodes, ``(B or 1, cells + 1, C, *rest)``."""
        t = torch.linspace(-self.bound, self.bound, self.cells + 1, dtype=h.dtype, device=h.device).view(-1, *(1 for _ in h.shape[2:]))
        shift, s = h[:, :1], h[:, 1:2]
        w, c, v = h[:, 2:].unflatten(1, (3, self.units)).unbind(1)
        b = -w * c
        for j in range(self.units):  # one unit at a time: what it holds fits a cache
            s = torch.addcmul(s, v[:, j : j + 1], torch.tanh(torch.addcmul(b[:, j : j + 1], w[:, j : j + 1], t)))
        g = (torch.tanh(s / self.limit) * self.limit).exp()
        left, right = (self.bound / self.cells * (g[:, :-1] + g[:, 1:])).chunk(2, 1)
        left = -left.flip(1).cumsum(1).flip(1)  # both from 0 on, near which precision matters most
        return g, torch.cat([left, torch.zeros_like(shift), right.cumsum(1)], 1) + shift
