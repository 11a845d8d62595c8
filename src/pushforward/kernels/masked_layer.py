"""A masked autoregressive layer, or a coupling with a dense net, in one pass over tiles of the batch: either way, and the gradient."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .door import Kernel, Plain, dispatch
from .elementwise import Spline
from .library import MOST, call

ALIVE: list[Any] = []  # what :func:`places` gave the addresses of
SHARE_OF_COPIES = 2**28  # bytes of the weights' gradients that threads have of their own, beyond one


class AffineMap(NamedTuple):
    """``z = exp(s) x + b``, as :class:`~pushforward.univariate.Affine` has it."""

    bound: float

    @property
    def params(self) -> int:
        return 2


@dataclass(frozen=True)
class MaskedLayout:
    """A masked net, beside its numbers.

    Attributes:
        order: the features by position.
        ends: how many hidden units are known at a position; they are sorted by it.
        residual: its square layers are blocks of two.
        kept: of a coupling, how many positions pass unchanged; all others see these alone, and all units.
    """

    order: tuple[int, ...]
    ends: tuple[int, ...]
    residual: bool
    kept: int = 0

    @property
    def inputs(self) -> int:
        """Of the net."""
        return self.kept or len(self.order) - 1

    @property
    def outputs(self) -> int:
        """Features that change."""
        return len(self.order) - self.kept


def masked(
    plain: Plain, x: Tensor, given: Tensor | None, weights: Sequence[Tensor], kind: AffineMap | Spline, net: MaskedLayout, inverse: bool
) -> tuple[Tensor, Tensor]:
    """``plain(x, given, *weights)``: z ``(B, D)`` and ldj ``(B,)`` of an autoregressive layer, or x and its ldj if ``inverse``.

    ``weights`` are weight and bias of the first layer ``(W, D - 1)``, of each square one ``(W, W)``, and of the last ``(params D, W)``,
    its rows by parameter, then feature; what a mask hides is not read. ``given`` ``(B, W)`` is added to the first layer's sums. Of a
    coupling the first is ``(W, kept)`` and the last ``(params (D - kept), W)``, its rows by parameter, then position.
    """
    return dispatch(MaskedLayer(plain, kind, net, inverse), x, given, *weights)


class MaskedLayer(Kernel):
    """The inverse has no gradient, which would keep as much as the plain path does."""

    def __init__(self, plain: Plain, kind: AffineMap | Spline, net: MaskedLayout, inverse: bool):
        self.plain, self.kind, self.net, self.inverse = plain, kind, net, inverse
        self.differentiable = not inverse

    def fits(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> bool:
        return belong_together(self.kind, self.net, x, given, weights)

    def forward(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
        out, ldj = evaluate_layer(self.kind, self.net, self.inverse, x.t(), given if given is None else given.t(), weights)
        return out.t(), ldj

    def gradient(self, inputs: Sequence[Any], out: Tensor | None, g_out: Tensor, g_slope: Tensor) -> list[Tensor | None]:
        x, given, *weights = inputs
        columns = x.t(), given if given is None else given.t()
        g_x, g_given, g_weights = differentiate_layer(self.kind, self.net, *columns, weights, g_out.t(), g_slope)
        return [g_x.t(), g_given if g_given is None else g_given.t(), *g_weights]

    def traced(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
        options = self.kind if isinstance(self.kind, Spline) else (0, self.kind.bound, 0.0)
        net = list(self.net.order), list(self.net.ends), self.net.residual, self.net.kept
        columns = x.t().contiguous(), given if given is None else given.t().contiguous()
        out, ldj = torch.ops.pushforward.masked(*options, *net, self.inverse, *columns, list(weights))
        return out.t(), ldj


def belong_together(kind: AffineMap | Spline, net: MaskedLayout, x: Tensor, given: Tensor | None, weights: Sequence[Tensor]) -> bool:
    """Whether x ``(B, D)``, given and weights have the shapes of that net, of a size that the kernel takes."""
    dim, width, square = len(net.order), weights[0].shape[0], len(weights) // 2 - 2
    if x.shape != (x.shape[0], dim) or not x.shape[0] or not width or (net.residual and square % 2):
        return False
    if isinstance(kind, Spline) and not 2 <= kind.bins <= MOST:
        return False
    shapes = [(width, net.inputs), *[(width, width)] * square, (kind.params * net.outputs, width)]
    fit = all(w.shape == shape and b.shape == shape[:1] for w, b, shape in zip(weights[::2], weights[1::2], shapes))
    return fit and len(weights) == 2 * len(shapes) and (given is None or given.shape == (x.shape[0], width))


def evaluate_layer(
    kind: AffineMap | Spline, net: MaskedLayout, inverse: bool, x: Tensor, given: Tensor | None, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """x ``(D, B)`` (z if inverse) and given ``(W, B)`` to ``(D, B)`` and ldj ``(B,)``."""
    out, ldj = empty_like(x), x.new_empty(x.shape[1])
    numbers, (lists, own) = sizes(kind, net, x, weights), by_place(weights)
    call("masked", "layer", numbers | {"inverse": inverse}, {"x": x, "given": given, "out": out, "ldj": ldj, **own}, lists)
    return out, ldj


def differentiate_layer(
    kind: AffineMap | Spline, net: MaskedLayout, x: Tensor, given: Tensor | None, weights: Sequence[Tensor], g_out: Tensor, g_ldj: Tensor
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """The gradients of x, given and weights, from those of ``evaluate_layer(..., inverse=False)``; of what a mask hides, zero."""
    if g_out.shape != x.shape or g_ldj.shape != x.shape[1:]:
        raise ValueError(f"kernels: expected gradients of x {tuple(x.shape)} and ldj, got {tuple(g_out.shape)} and {tuple(g_ldj.shape)}")
    g_x, g_given, g_weights = empty_like(x), None if given is None else empty_like(given), [empty_like(t) for t in weights]
    numbers = sizes(kind, net, x, weights) | {"copies": 1 + SHARE_OF_COPIES // max(1, sum(t.nbytes for t in weights))}
    (lists, own), (g_lists, g_own) = by_place(weights), by_place(g_weights, "g_")
    tensors = {"x": x, "given": given, "g_out": g_out, "g_ldj": g_ldj, "g_x": g_x, "g_given": g_given, **own, **g_own}
    call("masked_gradient", "layer", numbers, tensors, lists | g_lists)
    return g_x, g_given, g_weights


def empty_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def sizes(kind: AffineMap | Spline, net: MaskedLayout, x: Tensor, weights: Sequence[Tensor]) -> dict[str, Any]:
    (dim, batch), width = x.shape, len(weights[0])
    order, ends = places(net.order, net.ends, net.kept, width)
    layer = {
        "batch": batch,
        "dim": dim,
        "width": width,
        "depth": len(weights) // 2 - 2,
        "params": kind.params,
        "residual": net.residual,
        "kept": net.kept,
    }
    return {**kind._asdict(), **layer, "order": order, "ends": ends}


def by_place(weights: Sequence[Tensor], prefix: str = "") -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
    """Those of the square layers, and those of the first and the last."""
    first, first_bias, *hidden, last, last_bias = weights
    ends = {"first": first, "first_bias": first_bias, "last": last, "last_bias": last_bias}
    lists = {"hidden": hidden[::2], "hidden_bias": hidden[1::2]}
    return {prefix + name: value for name, value in lists.items()}, {prefix + name: value for name, value in ends.items()}


@functools.cache
def places(order: tuple[int, ...], ends: tuple[int, ...], kept: int, width: int) -> tuple[int, int]:
    """The addresses of both as C has them, for good. From these it computes others: what is no permutation, or leads beyond the units,
    must not get there."""
    rising = len(ends) == len(order) and sorted((0, *ends, width)) == [0, *ends, width]
    split = not kept or (0 < kept < len(ends) and ends == (0,) * kept + (width,) * (len(ends) - kept))
    if sorted(order) != list(range(len(order))) or not rising or ends[-1] != width or not split:
        raise ValueError(
            f"kernels: expected a permutation of the features and ends that rise to {width}, got {order}, {ends} and {kept} kept"
        )
    arrays = [(ctypes.c_int * len(numbers))(*numbers) for numbers in (order, ends)]
    ALIVE.extend(arrays)
    return ctypes.addressof(arrays[0]), ctypes.addressof(arrays[1])
