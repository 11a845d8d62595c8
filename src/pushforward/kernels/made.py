"""A masked autoregressive layer as one pass over tiles of the batch: both directions, and the gradient of the one from data to latent."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .build import library

POINTER = ctypes.c_void_p


class ScalarMap(NamedTuple):
    """A scalar map that the kernel knows: the affine one (``bins=0``), or the rational-quadratic spline."""

    bins: int
    bound: float
    floor: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a layer is, beside its numbers: the scalar map, and order, ends and residual of :class:`~pushforward.nets.MADE`."""

    scalar_map: ScalarMap
    order: tuple[int, ...]
    ends: tuple[int, ...]
    residual: bool


class Layer(ctypes.Structure):
    """As in layer.h."""

    _fields_ = [
        ("batch", ctypes.c_ssize_t),
        *((name, ctypes.c_int) for name in ("dim", "width", "depth", "params", "residual", "inverse", "bins")),
        *((name, ctypes.c_double) for name in ("bound", "floor")),
        *((name, POINTER) for name in ("order", "ends", "first", "first_bias", "context", "hidden", "hidden_bias")),
        *((name, POINTER) for name in ("last", "last_bias", "x", "out", "ldj")),
    ]


class Gradients(ctypes.Structure):
    """As in made_gradient.c."""

    _fields_ = [
        ("jobs", ctypes.c_int),
        *((name, POINTER) for name in ("g_out", "g_ldj", "g_x", "g_context", "first", "first_bias", "hidden", "hidden_bias")),
        *((name, POINTER) for name in ("last", "last_bias")),
    ]


def made(plan: Plan, inverse: bool, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """x ``(D, B)`` (z if inverse) through the layer: ``(D, B)`` and ldj ``(B,)``.

    ``weights`` are weight and bias of the first layer, of each square one, and of the last, as :class:`~pushforward.nets.MADE` holds them,
    without masks: what a mask hides is not read. ``context`` ``(width, B)`` is added to the first layer's sums.
    """
    out, ldj = torch.empty_like(x), x.new_empty(x.shape[1])
    layer, _keep = described(plan, inverse, x, context, weights)
    layer.out, layer.ldj = out.data_ptr(), ldj.data_ptr()
    call("made", x, layer)
    return out, ldj


def made_gradient(
    plan: Plan, x: Tensor, context: Tensor | None, weights: Sequence[Tensor], g_out: Tensor, g_ldj: Tensor
) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """The gradients of x, context and weights, from those of ``made(..., inverse=False)``; of what a mask hides, zero."""
    layer, _keep = described(plan, False, x, context, weights)
    g_x, g_context = torch.empty_like(x), None if context is None else torch.empty_like(context)
    g_weights = [torch.empty_like(t) for t in weights]
    hidden, hidden_bias = addresses(g_weights[2:-2:2]), addresses(g_weights[3:-2:2])
    pointers = [None if t is None else t.data_ptr() for t in (g_out, g_ldj, g_x, g_context, *g_weights[:2])]
    wanted = Gradients(
        torch.get_num_threads(), *pointers, ctypes.addressof(hidden), ctypes.addressof(hidden_bias), *(t.data_ptr() for t in g_weights[-2:])
    )
    call("made_gradient", x, layer, wanted)
    return g_x, g_context, g_weights


def described(plan: Plan, inverse: bool, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> tuple[Layer, Any]:
    """The structure, and what must live as long as it does."""
    assert all(t.is_contiguous() and t.dtype == x.dtype for t in (x, *weights, *([] if context is None else [context])))
    keep = [addresses(weights[2:-2:2]), addresses(weights[3:-2:2])]
    keep += [(ctypes.c_int * len(numbers))(*numbers) for numbers in (plan.order, plan.ends)]
    hidden, hidden_bias, order, ends = (ctypes.addressof(array) for array in keep)
    first, first_bias, *_, last, last_bias = (t.data_ptr() for t in weights)
    dim, batch = x.shape
    layer = Layer(
        *(batch, dim, len(weights[0]), len(weights) // 2 - 2, len(weights[-1]) // dim, plan.residual, inverse, *plan.scalar_map),
        *(order, ends, first, first_bias, None if context is None else context.data_ptr(), hidden, hidden_bias),
        *(last, last_bias, x.data_ptr()),
    )
    return layer, keep


def addresses(tensors: Sequence[Tensor]) -> ctypes.Array[Any]:
    return (POINTER * len(tensors))(*(t.data_ptr() for t in tensors))


def call(name: str, like: Tensor, *structures: ctypes.Structure) -> None:
    function = getattr(library(), f"{name}_{'float' if like.dtype == torch.float32 else 'double'}")
    function.restype = None
    function(*(ctypes.byref(structure) for structure in structures))
