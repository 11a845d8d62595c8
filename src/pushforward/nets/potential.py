"""The gradient of a potential as a velocity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .mlp import linear
from .velocity import VelocityNet, time_and_context


class PotentialNet(VelocityNet):
    r"""``f = -grad_z phi(s)`` of vectors ``(B, D)``, ``phi = w^T N(s) + s^T A^T A s / 2 + b^T s``, with ``s = [z, t, context]``.

    ``N(s) = u_M`` is a residual net of smooth units, ``u_0 = sigma(K_0 s + b_0)``, ``u_i = u_{i-1} + sigma(K_i u_{i-1} + b_i) / M`` with
    ``sigma = log cosh``, whose derivative is the tanh. The Jacobian of f is symmetric, and its trace is in closed form, exact. Points that
    such a velocity carries take the shortest way if it does not change along it, which a price on the kinetic energy asks for.

    Cost: ``D width + M width^2`` multiplications for f; for the trace ``M D width^2`` more.

    Reference: OT-Flow, Onken, Wu Fung, Li, Ruthotto, 2020, arXiv:2006.00104, section 3. Departures: a context; w starts at zero and A
    small, so that points first stay almost where they are.

    Arguments:
        dim: D.
        width: units of a layer.
        depth: M, the residual layers.
        rank: rows of A.
        context: numbers of the context.

    Raises:
        ValueError: x or a context of another shape.

    Example::

        >>> f, trace = PotentialNet(3, width=8).trace(torch.randn(5, 3), 0.5, None)
        >>> f.shape, trace.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    traced = True

    def __init__(self, dim: int, *, width: int = 32, depth: int = 1, rank: int = 10, context: int = 0):
        super().__init__()
        check_counts("PotentialNet", dim=dim, width=width, depth=depth, rank=rank)
        check_counts("PotentialNet", least=0, context=context)
        self.dim, self.context = dim, context
        inputs = dim + 1 + context
        self.first = linear(inputs, width)
        self.layers: Sequence[nn.Linear] = nn.ModuleList(linear(width, width) for _ in range(depth))  # type: ignore[assignment]
        self.out = nn.Parameter(torch.zeros(width))
        self.quadratic = nn.Parameter(0.1 * torch.randn(min(rank, inputs), inputs) / math.sqrt(inputs))
        self.slope = nn.Parameter(torch.zeros(inputs))

    def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
        return self._velocity(*self._units(z, t, context))[0]

    def trace(self, z: Tensor, t: float | Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        f, parts = self._parts(z, t, context)
        return f, -sum((weight * rows.square().sum(-1)).sum(-1) for rows, weight in parts).expand(z.shape[0])  # type: ignore[union-attr]

    def products(self, z: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        f, parts = self._parts(z, t, context)
        turned = [((v[..., None, :] * rows).sum(-1) * weight)[..., None, :] @ rows for rows, weight in parts]
        return f, -torch.stack(turned).sum(0).squeeze(-2)

    def _parts(self, z: Tensor, t: float | Tensor, context: Tensor | None) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """f, and rows ``(1 or B, m, D)`` with weights ``(1 or B, m)``, whose sum of ``weight row row^T`` is phi's second derivative."""
        s, units = self._units(z, t, context)
        f, behind = self._velocity(s, units)
        rows, share, jacobian = self.first.weight[None, :, : self.dim], 1 / len(self.layers), torch.zeros_like(z)[:, None]
        whole = self.quadratic[None, :, : self.dim]
        parts = [(whole, torch.ones_like(whole[..., 0])), (rows, (1 - units[0].square()) * behind[0])]
        for i, layer in enumerate(self.layers, 1):
            jacobian = jacobian + (share if i > 1 else 1.0) * units[i - 1][:, :, None] * rows  # of u_{i-1} by z
            rows = layer.weight @ jacobian
            parts.append((rows, share * (1 - units[i].square()) * behind[i]))
        return f, parts

    def _units(self, z: Tensor, t: float | Tensor, context: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """s, and the derivatives of the units of each layer."""
        if z.shape[1:] != (self.dim,):
            raise ValueError(f"PotentialNet: expected x of shape (B, {self.dim}), got {tuple(z.shape)}")
        given = time_and_context(self, z, t, context, self.context)
        s = torch.cat([z, given.expand(z.shape[0], -1)], 1)
        q = self.first(s)
        u, units = _log_cosh(q), [torch.tanh(q)]
        for layer in self.layers:
            q = layer(u)
            u = u + _log_cosh(q) / len(self.layers)
            units.append(torch.tanh(q))
        return s, units

    def _velocity(self, s: Tensor, units: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """f, and the derivatives of phi by what leaves the units of each layer."""
        back = self.out.expand(s.shape[0], -1)
        behind = [back]
        for layer, unit in zip(reversed(self.layers), reversed(units[1:]), strict=True):
            back = back + (unit * back) @ layer.weight / len(self.layers)
            behind.insert(0, back)
        gradient = (units[0] * back) @ self.first.weight + F.linear(s, self.quadratic) @ self.quadratic + self.slope
        return -gradient[:, : self.dim], behind


def _log_cosh(x: Tensor) -> Tensor:
    return F.softplus(-2 * x.abs()) + x.abs() - math.log(2)
