"""Mixture distribution functions as one pass over the numbers, their numerical inverse included."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .build import library

MOST_COMPONENTS = 64  # as in mixture.h
POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
OPTIONS = [SIZE, SIZE, SIZE, ctypes.c_int, ctypes.c_double, ctypes.c_int, ctypes.c_int]


class Mixture(NamedTuple):
    """Which map: of Gaussians or logistics, the distribution function alone or followed by the quantile function of a component."""

    components: int
    bound: float
    gaussian: bool
    quantile: bool


def mixture(x: Tensor, h: Tensor, kind: Mixture) -> tuple[Tensor, Tensor]:
    """Value and log derivative: x ``(blocks, numbers)`` and h ``(blocks or 1, 3 components, numbers)`` give two like x.

    x is contiguous, and so is each block of h.
    """
    out, slope = torch.empty_like(x), torch.empty_like(x)
    call("mixture", (x, h, out, slope), h, kind)
    return out, slope


def mixture_inverse(y: Tensor, q: Tensor, h: Tensor, kind: Mixture) -> tuple[Tensor, Tensor]:
    """x and its log derivative where the distribution function has the logit y, and one standard component the quantile q."""
    out, slope = torch.empty_like(y), torch.empty_like(y)
    call("mixture_inverse", (y, q, h, out, slope), h, kind)
    return out, slope


def mixture_gradient(x: Tensor, h: Tensor, g_out: Tensor, g_slope: Tensor, kind: Mixture, inverse: bool) -> tuple[Tensor, Tensor]:
    """The gradients of x and h, from those of value and log derivative; h's for each block, ``(blocks, 3 components, numbers)``.

    ``inverse``: the gradients of z and h instead, from those of what :func:`mixture_inverse` gave; x is its value.
    """
    g_x, g_h = torch.empty_like(x), x.new_empty(x.shape[0], h.shape[1], x.shape[1])
    call("mixture_gradient", (x, h, g_out, g_slope, g_x, g_h), h, kind, inverse)
    return g_x, g_h


def call(name: str, tensors: tuple[Tensor, ...], h: Tensor, kind: Mixture, *more: Any) -> None:
    x = tensors[0]
    assert all(t.is_contiguous() for t in tensors if t is not h) and h[:1].is_contiguous()
    function = getattr(library(), f"{name}_{'float' if x.dtype == torch.float32 else 'double'}")
    if not function.argtypes:
        function.argtypes, function.restype = [POINTER] * len(tensors) + OPTIONS + [ctypes.c_int] * len(more), None
    function(*(t.data_ptr() for t in tensors), x.shape[0], x.shape[1], 0 if h.shape[0] == 1 else h.stride(0), *kind, *more)
