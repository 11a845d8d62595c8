"""The contract of nets that say where points move, and what those share whose layers all see time and context."""

from __future__ import annotations

from collections.abc import Sequence
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

    Attributes:
        traced: whether :meth:`trace` is there, in closed form: then no probes are drawn for it.
    """

    traced = False

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

    def trace(self, z: Tensor, t: float | Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """f, and the trace of its Jacobian, ``(B,)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define trace")


class TimedNet(VelocityNet):
    """Affine layers with smooth units between them, each of which sees time and context; :meth:`products` carries vectors along.

    Arguments:
        layers: from z to z, the last one without units behind it.
        sizes: channels that leave each layer.
        context: numbers of the context.
        time: "concat" adds ``U [t, c]`` to what a layer makes of its input, "squash" multiplies it by ``sigmoid(V [t, c])`` before.
        activation: "tanh", "softplus" or "swish".
    """

    def __init__(self, layers: Sequence[nn.Module], sizes: Sequence[int], context: int, time: TimeEntry, activation: Activation):
        super().__init__()
        check_counts(type(self).__name__, least=0, context=context)
        if time not in get_args(TimeEntry):
            raise ValueError(f"{type(self).__name__}: expected time {' or '.join(get_args(TimeEntry))}, got {time!r}")
        check_activation(self, activation)
        self.context, self.activation = context, activation
        self.layers: Sequence[nn.Linear | nn.Conv2d] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.shifts: Sequence[nn.Linear] = nn.ModuleList(linear(1 + context, size, zero=True) for size in sizes)  # type: ignore[assignment]
        gates = nn.ModuleList(linear(1 + context, size) for size in sizes) if time == "squash" else None
        self.gates: Sequence[nn.Linear] | None = gates  # type: ignore[assignment]

    def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
        self._check(z)
        return self._pass(z, t, context, None)[0]

    def products(self, z: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor) -> tuple[Tensor, Tensor]:
        self._check(z)
        f, products = self._pass(z, t, context, v)
        assert products is not None
        return f, products

    def _check(self, z: Tensor) -> None:
        """Raise ValueError for z of another shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define _check")

    def _affine(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A layer on ``(B, *shape)``, or its linear part on vectors ``(K, B, *shape)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define _affine")

    def _pass(self, h: Tensor, t: float | Tensor, context: Tensor | None, v: Tensor | None) -> tuple[Tensor, Tensor | None]:
        given = t if isinstance(t, float) and not self.context else time_and_context(self, h, t, context, self.context)
        space = [1] * (h.dim() - 2)
        for i, (layer, shift) in enumerate(zip(self.layers, self.shifts, strict=True)):
            weight, bias, row = layer.weight, layer.bias, _told(shift, given)
            assert bias is not None
            gate = None if self.gates is None else torch.sigmoid(_told(self.gates[i], given))
            if row.dim() == 1:  # the same for all rows: as if it were the layer's own
                weight, bias = (weight, bias) if gate is None else (weight * gate.reshape(-1, 1, *space, *space), bias * gate)
                h, v = self._affine(h, weight, bias + row), None if v is None else self._affine(v, weight, None)
            else:
                h, v = self._affine(h, weight, bias), None if v is None else self._affine(v, weight, None)
                if gate is not None:
                    gate = gate.unflatten(1, (-1, *space))
                    h, v = h * gate, None if v is None else v * gate
                h = h + row.unflatten(1, (-1, *space))
            if i + 1 < len(self.layers):
                h, v = activated(self.activation, h, v)
        return h, v


def check_activation(net: VelocityNet, activation: Activation) -> None:
    """Raise ValueError for units without a second derivative, or unknown ones."""
    if activation not in get_args(Activation):
        expected = ", ".join(get_args(Activation))
        raise ValueError(f"{type(net).__name__}: expected activation {expected}, got {activation!r}; units must be twice differentiable")


def _told(layer: nn.Linear, given: float | Tensor) -> Tensor:
    """``layer(given)``, rows; of a time that is the same for all rows and known, one row without its axis."""
    return layer(given) if isinstance(given, Tensor) else torch.add(layer.bias, layer.weight.flatten(), alpha=given)  # type: ignore[no-any-return]


def time_and_context(net: VelocityNet, h: Tensor, t: float | Tensor, context: Tensor | None, size: int) -> Tensor:
    """Time and a context of ``size`` numbers as rows, ``(1 or B, 1 + size)``."""
    time = torch.as_tensor(t, dtype=h.dtype, device=h.device).reshape(-1, 1)
    if not size:
        return time
    if context is None or context.shape != (h.shape[0], size):
        got = "none" if context is None else str(tuple(context.shape))
        raise ValueError(f"{type(net).__name__}: expected a context of shape ({h.shape[0]}, {size}), got {got}")
    return torch.cat([time.expand(h.shape[0], 1), context.to(h.dtype)], 1)


def activated(name: Activation, h: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The units, and v times their slopes, by torch's own derivatives: one operation each way."""
    if name == "tanh":
        units = torch.tanh(h)
        return units, None if v is None else torch.ops.aten.tanh_backward(v, units.expand_as(v))
    if name == "softplus":
        return F.softplus(h), None if v is None else torch.ops.aten.softplus_backward(v, h.expand_as(v), 1, 20)
    if v is None:
        return F.silu(h), None
    share = torch.sigmoid(h)
    return h * share, v * (share * (1 + h * (1 - share)))
