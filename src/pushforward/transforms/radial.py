"""A move towards a point or away from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform
from ..words import check_counts
from .amortized import Amortized
from .planar import check_floor, excess

LEAST = 1e-3  # of the radius alpha, so that it divides


class Radial(Transform):
    r"""``z = x + g alpha (x - c) / (alpha + r)`` with ``r = |x - c|``: within a radius of some alpha, a scaling by ``1 + g`` about c.

    ``ldj = (D - 1) log(1 + g alpha / (alpha + r)) + log(1 + g alpha^2 / (alpha + r)^2)``: along the sphere, and across it.

    Invertible whatever the parameters: ``alpha = softplus(a) + 0.001``, and ``g = m(b)`` with ``m(t) = t`` for ``t >= 0`` and
    ``m(t) = q (exp(t / q) - 1)`` for ``t < 0``, ``q = 1 - floor``, so that no slope is below ``floor``. In the paper's letters
    ``beta = g alpha``, ``z_0 = c``, and its condition is ``beta >= -alpha``, where a slope can vanish.

    Shapes: vectors ``(B, D)``. Cost: O(D) in either direction, exact: r is the root of a quadratic,
    ``r^2 + (alpha + g alpha - |z - c|) r = alpha |z - c|``. The identity at the start (b = 0).

    Caveats: once differentiable in x at c itself. One layer does little; models stack 8 to 32.

    Reference: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770, section 4.1 and
    appendix A.2.

    Arguments:
        dim: the number of features D.
        net: from the context to ``D + 2`` numbers for each row, which are added to the constants c, a and b.
        floor: what slopes stay above, in (0, 1).

    Raises:
        ValueError: a floor outside of (0, 1); x of another shape; with a net, a context that is missing or does not fit.

    Example::

        >>> layer = Radial(3)
        >>> z, ldj = layer(torch.randn(8, 3))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3]), torch.Size([8]))
    """

    def __init__(self, dim: int, net: nn.Module | None = None, floor: float = 0.1):
        super().__init__()
        check_counts("Radial", dim=dim)
        check_floor("Radial", floor)
        self.dim = dim
        self.floor = floor
        self.h = Amortized("Radial", dim, torch.cat([torch.randn(dim), torch.zeros(2)]), net)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        center, alpha, gain = self._unpack(x, context)
        away = x - center
        r = torch.linalg.vector_norm(away, dim=1, keepdim=True)
        part = gain * alpha / (alpha + r)
        return x + part * away, self._log_det(part, alpha, r)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        center, alpha, gain = self._unpack(z, context)
        away = z - center
        reach = torch.linalg.vector_norm(away, dim=1, keepdim=True)
        b = alpha + gain * alpha - reach
        # the larger root of r^2 + b r = alpha reach, without a difference of like numbers
        q = torch.where(b > 0, b, -b) + (b.square() + 4 * alpha * reach).sqrt()
        r = torch.where(b > 0, 2 * alpha * reach / q, q / 2)
        part = gain * alpha / (alpha + r)
        return center + away / (1 + part), -self._log_det(part, alpha, r)

    def _log_det(self, part: Tensor, alpha: Tensor, r: Tensor) -> Tensor:
        across = torch.log1p(part * alpha / (alpha + r))
        return ((self.dim - 1) * torch.log1p(part) + across).squeeze(1)

    def _unpack(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The center, (1 or B, D), alpha and g, (1 or B, 1)."""
        center, a, b = self.h(x, context).split([self.dim, 1, 1], 1)
        return center, F.softplus(a) + LEAST, b + excess(b, self.floor)

    def extra_repr(self) -> str:
        return f"{self.dim}, floor={self.floor}"
