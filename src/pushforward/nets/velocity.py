"""The contract of nets that say where points move, and the dense one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..words import check_counts
from .mlp import linear

Activation = Literal["tanh", "softplus", "swish"]
TimeEntry = Literal["concat", "squash"]


class VelocityNet(nn.Module):
    """A velocity ``f(z, t, context)`` of the shape of z, and products of its Jacobian with vectors.

    Another net is :meth:`forward` alone; :meth:`products` is worth writing where autograd is slow. It must be twice differentiable in z:
    the trace of a Jacobian of rectified units has no gradient that says anything.
    """

    def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
        """``dz/dt`` at time t, ``(B, *shape) -> (B, *shape)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def products(self, z: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        """f, and of each of K vectors v ``(K, B, *shape)`` the product ``(df/dz)^T v`` or ``(df/dz) v``, whichever is the cheaper:
        their products with v are the same number, and their squares add up to the same over all unit vectors.
        """
        graph = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if z.requires_grad else z.detach().requires_grad_()
            f = self(z, t, context)
            keep = [graph or i + 1 < len(v) for i in range(len(v))]
            products = [torch.autograd.grad(f, z, u, create_graph=graph, retain_graph=kept)[0] for u, kept in zip(v, keep, strict=True)]
        return (f if graph else f.detach()), torch.stack(products)


class TimeMLP(VelocityNet):
    r"""A dense net of vectors and time, ``(B, D) -> (B, D)``, through ``depth`` hidden layers of ``width`` units; starts at zero.

    TimeEntry and context reach every layer: "concat" adds ``U [t, c]`` to what it makes of its input, "squash" multiplies it by
    ``sigmoid(V [t, c])`` before (FFJORD's two kinds). :meth:`products` carries vectors along, each at the cost of a pass.

    Reference: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2018, arXiv:1810.01367, appendix B.

    Arguments:
        dim: D.
        width: hidden units.
        depth: hidden layers.
        context: numbers of the context.
        time: "concat" or "squash".
        activation: "tanh", "softplus" or "swish".

    Raises:
        ValueError: another kind or activation (rectified units have no second derivative), x or a context of another shape.

    Example::

        >>> net = TimeMLP(3, width=16)
        >>> f, products = net.products(torch.randn(8, 3), 0.5, None, torch.randn(2, 8, 3))
        >>> f.shape, products.shape
        (torch.Size([8, 3]), torch.Size([2, 8, 3]))
    """

    def __init__(
        self, dim: int, *, width: int = 64, depth: int = 2, context: int = 0, time: TimeEntry = "concat", activation: Activation = "tanh"
    ):
        super().__init__()
        check_counts("TimeMLP", dim=dim, width=width, depth=depth)
        check_counts("TimeMLP", least=0, context=context)
        if time not in get_args(TimeEntry) or activation not in get_args(Activation):
            kinds = f"time {' or '.join(get_args(TimeEntry))} and activation {', '.join(get_args(Activation))}"
            raise ValueError(f"TimeMLP: expected {kinds}, got {time!r} and {activation!r}; units must be twice differentiable")
        self.dim, self.context, self.activation = dim, context, activation
        sizes = [dim, *[width] * depth, dim]
        self.layers: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            linear(a, b, zero=i == depth) for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.shifts = nn.ModuleList(linear(1 + context, b, zero=True) for b in sizes[1:])
        self.gates = nn.ModuleList(linear(1 + context, b) for b in sizes[1:]) if time == "squash" else None

    def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
        return self._pass(z, t, context, None)[0]

    def products(self, z: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        f, products = self._pass(z, t, context, v)
        assert products is not None
        return f, products

    def _pass(self, h: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if h.shape[1:] != (self.dim,):
            raise ValueError(f"TimeMLP: expected x of shape (B, {self.dim}), got {tuple(h.shape)}")
        given = self._given(h, t, context)
        for i, (layer, shift) in enumerate(zip(self.layers, self.shifts, strict=True)):
            h = layer(h)
            v = None if v is None else F.linear(v, layer.weight)
            if self.gates is not None:
                gate = torch.sigmoid(self.gates[i](given))
                h, v = h * gate, None if v is None else v * gate
            h = h + shift(given)
            if i + 1 < len(self.layers):
                h, slope = _activated(self.activation, h)
                v = None if v is None else v * slope
        return h, v

    def _given(self, h: Tensor, t: float | Tensor, context: Tensor | None) -> Tensor:
        """Time and context as rows, ``(1 or B, 1 + K)``."""
        time = torch.as_tensor(t, dtype=h.dtype, device=h.device).reshape(-1, 1)
        if not self.context:
            return time
        if context is None or context.shape != (h.shape[0], self.context):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"TimeMLP: expected a context of shape ({h.shape[0]}, {self.context}), got {got}")
        return torch.cat([time.expand(h.shape[0], 1), context.to(h.dtype)], 1)


def _activated(name: Activation, h: Tensor) -> tuple[Tensor, Tensor]:
    """The units and their slopes."""
    if name == "tanh":
        units = torch.tanh(h)
        return units, 1 - units.square()
    share = torch.sigmoid(h)
    if name == "softplus":
        return F.softplus(h), share
    return h * share, share * (1 + h * (1 - share))
