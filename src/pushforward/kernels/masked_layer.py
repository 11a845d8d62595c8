"""What a masked autoregressive layer, or a coupling with a dense net, is to a kernel."""

from __future__ import annotations

import bisect
import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .elementwise import Spline
from .library import MOST, ROW_BYTES, Fields

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


class MaskedLayer(NamedTuple):
    """A scalar map with parameters from a masked net.

    Its tensors are what is given, ``(B, W)`` or ``None``, which is added to the first layer's sums, and weight and bias of the first
    layer ``(W, D - 1)``, of each square one ``(W, W)``, and of the last ``(params D, W)``, its rows by parameter, then feature; what a
    mask hides is not read. Of a coupling the first is ``(W, kept)`` and the last ``(params (D - kept), W)``, its rows by parameter, then
    position.
    """

    kind: AffineMap | Spline
    net: MaskedLayout

    def fits(self, batch: int, dim: int, given: Tensor | None, *weights: Tensor) -> bool:
        """Whether given and weights have the shapes of that net, of a size that the kernel takes."""
        width, square = weights[0].shape[0], len(weights) // 2 - 2
        if dim != len(self.net.order) or not width or (self.net.residual and square % 2):
            return False
        if isinstance(self.kind, Spline) and not 2 <= self.kind.bins <= MOST:
            return False
        shapes = [(width, self.net.inputs), *[(width, width)] * square, (self.kind.params * self.net.outputs, width)]
        fit = all(w.shape == shape and b.shape == shape[:1] for w, b, shape in zip(weights[::2], weights[1::2], shapes))
        return fit and len(weights) == 2 * len(shapes) and (given is None or given.shape == (batch, width))

    def fields(self, inverse: bool, given: Tensor | None, *weights: Tensor) -> Fields:
        width = weights[0].shape[0]
        stairs = places(self.net, self.kind.params, width)
        numbers = {**self.kind._asdict(), "inverse": inverse, "width": width, "depth": len(weights) // 2 - 2, "params": self.kind.params}
        numbers |= {"residual": self.net.residual, "kept": self.net.kept, **stairs}
        lists, own = by_place(weights)
        return Fields(numbers, {"given": given if given is None else given.t(), **own}, lists)

    def gradient_fields(self, given: Tensor | None, *weights: Tensor) -> tuple[Fields, list[Tensor | None]]:
        """Where C writes the gradients, and these."""
        made = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in weights]
        lists, own = by_place(made, "g_")
        g_given = None if given is None else given.new_empty(given.shape[1], given.shape[0])
        copies = 1 + SHARE_OF_COPIES // max(1, sum(t.nbytes for t in weights))
        return Fields({"copies": copies}, {"g_given": g_given, **own}, lists), [g_given if g_given is None else g_given.t(), *made]

    def memory(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> int:
        """Numbers of the units and parameters of all rows x ``(D, B)``, tile by tile."""
        columns = ROW_BYTES // x.itemsize
        return -(-x.shape[1] // columns) * columns * sum(bias.shape[0] for bias in weights[1::2])

    def log_det(self, *tensors: Tensor | None) -> Tensor | None:
        """What all rows have in common of it."""
        return None

    def gradients(self, made: list[Tensor | None], g_log_det: Tensor, *tensors: Tensor | None) -> list[Tensor | None]:
        """Of its tensors, from what C wrote."""
        return made


def by_place(weights: Sequence[Tensor], prefix: str = "") -> tuple[dict[str, list[Tensor]], dict[str, Tensor | None]]:
    """Those of the square layers, and those of the first and the last."""
    first, first_bias, *hidden, last, last_bias = weights
    ends = {"first": first, "first_bias": first_bias, "last": last, "last_bias": last_bias}
    lists = {"hidden": hidden[::2], "hidden_bias": hidden[1::2]}
    return {prefix + name: value for name, value in lists.items()}, {prefix + name: value for name, value in ends.items()}


@functools.cache
def places(net: MaskedLayout, params: int, width: int) -> dict[str, int]:
    """The addresses of its order and stairs as C has them, for good. From these it computes others: what is no permutation, or leads beyond
    the units, must not get there."""
    order, ends, kept = net.order, net.ends, net.kept
    rising = len(ends) == len(order) and sorted((0, *ends, width)) == [0, *ends, width]
    split = not kept or (0 < kept < len(ends) and ends == (0,) * kept + (width,) * (len(ends) - kept))
    if not rising or ends[-1] != width or not split:
        raise ValueError(f"kernels: expected ends that rise to {width}, got {ends} and {kept} kept")
    degrees = [bisect.bisect_right(ends, unit) for unit in range(width)]  # also the position that is the first to see a unit
    stairs = {
        "ends": ends,
        "degrees": degrees,
        "from": [ends[p - 1] if p else 0 for p in degrees],
        "to": [ends[p] for p in degrees],
        "last_from": [(p - kept) * params for p in degrees],
        "last_to": [end for end in ends[kept:] for _ in range(params)],
    }
    return {"order": permutation(order), **{name: integers(tuple(numbers)) for name, numbers in stairs.items()}}


@functools.cache
def permutation(order: tuple[int, ...]) -> int:
    """The address of an order of features."""
    if sorted(order) != list(range(len(order))):
        raise ValueError(f"kernels: expected a permutation of the features, got {order}")
    return integers(order)


def integers(numbers: tuple[int, ...]) -> int:
    ALIVE.append((ctypes.c_int * len(numbers))(*numbers))
    return ctypes.addressof(ALIVE[-1])
