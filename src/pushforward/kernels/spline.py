"""Rational-quadratic splines as one pass over the numbers, in place of some hundred operations over all of them."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from .build import library

MOST_BINS = 64  # as in spline.c
POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
OPTIONS = [SIZE, SIZE, SIZE, ctypes.c_int, ctypes.c_double, ctypes.c_double, ctypes.c_int]


def spline(y: Tensor, h: Tensor, bins: int, bound: float, floor: float, inverse: bool) -> tuple[Tensor, Tensor]:
    """Value and log derivative: y ``(blocks, numbers)`` and h ``(blocks or 1, 3 bins - 1, numbers)`` give two like y.

    y is contiguous, and so is each block of h.
    """
    out, slope = torch.empty_like(y), torch.empty_like(y)
    call("spline", (y, h, out, slope), h, (bins, bound, floor, inverse))
    return out, slope


def spline_gradient(
    y: Tensor, h: Tensor, g_out: Tensor, g_slope: Tensor, bins: int, bound: float, floor: float, inverse: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of y and h, from those of value and log derivative; h's for each block, ``(blocks, 3 bins - 1, numbers)``."""
    g_y, g_h = torch.empty_like(y), y.new_empty(y.shape[0], h.shape[1], y.shape[1])
    call("spline_gradient", (y, h, g_out, g_slope, g_y, g_h), h, (bins, bound, floor, inverse))
    return g_y, g_h


def call(name: str, tensors: tuple[Tensor, ...], h: Tensor, options: tuple[Any, ...]) -> None:
    y = tensors[0]
    assert all(t.is_contiguous() for t in tensors if t is not h) and h[:1].is_contiguous()
    function = getattr(library(), f"{name}_{'float' if y.dtype == torch.float32 else 'double'}")
    if not function.argtypes:
        function.argtypes, function.restype = [POINTER] * len(tensors) + OPTIONS, None
    function(*(t.data_ptr() for t in tensors), y.shape[0], y.shape[1], 0 if h.shape[0] == 1 else h.stride(0), *options)
