"""Layers of flows on a grid, exactly invertible by a stack of bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core import Chain, Inverse, Transform, join
from ..transforms import (
    ActNorm,
    Autoregressive,
    Conv1x1,
    Coupling,
    Elementwise,
    Factor,
    Householder,
    LULinear,
    Orthogonal,
    Permute,
    QRLinear,
    Reverse,
    Squeeze,
    SVDLinear,
    Triangular,
)
from ..univariate import Additive, Affine, Gate, Univariate
from .grid import RisingMap, bend, from_grid, ratio, rescale, to_grid
from .grid_linear import GridMatrix, channel_factors
from .stack import Stack

LINEAR_LAYERS = Conv1x1 | LULinear | QRLinear | SVDLinear | Triangular | Householder | Orthogonal
MOVING_LAYERS = Permute | Reverse | Squeeze
LINE_MAPS = Additive | Affine | Gate


def why_not_on_grid(layer: Transform) -> str:
    """The name of the first layer within this one that has no form on a grid; nothing if all have."""
    if isinstance(layer, Chain):
        return next((name for part in layer.transforms if (name := why_not_on_grid(part))), "")
    if isinstance(layer, Inverse):
        return why_not_on_grid(layer.transform)
    if isinstance(layer, Factor):
        return why_not_on_grid(layer.part) or why_not_on_grid(layer.rest)
    known = isinstance(layer, ActNorm | Autoregressive | Coupling | Elementwise | LINEAR_LAYERS | MOVING_LAYERS)
    return "" if known else type(layer).__name__


def through_layer(stack: Stack, layer: Transform, k: np.ndarray, context: Tensor | None, back: bool = False) -> np.ndarray:
    """Numbers on the grid ``(B, *shape)`` from data to latent, ``back`` from latent to data; each undoes what the other did to the stack.

    Matrices, factors and shifts are the layer's to some digits, a net sees numbers on the grid, and the stack shrinks by ``ldj / log 2``
    bits, on average.

    Arguments:
        stack: of bits.
        layer: with a form on the grid: see :func:`why_not_on_grid`.
        k: whole numbers.
        context: embedded.
        back: the other direction.
    """
    if isinstance(layer, Chain):
        for part in reversed(layer.transforms) if back else layer.transforms:
            k = through_layer(stack, part, k, context, back)
        return k
    if isinstance(layer, Inverse):
        return through_layer(stack, layer.transform, k, context, not back)
    if isinstance(layer, MOVING_LAYERS):
        return (layer.inverse if back else layer.forward)(torch.from_numpy(np.ascontiguousarray(k)))[0].numpy()
    if isinstance(layer, LINEAR_LAYERS):
        return GridMatrix.of(layer, k.shape[1], k.ndim - 2).through(stack, k, back)
    if isinstance(layer, ActNorm):
        return channel_factors(stack, k, layer.log_scale, layer.shift, back)
    if isinstance(layer, Elementwise):
        return _mapped(stack, layer.univariate, k, layer.h.detach(), back)
    if isinstance(layer, Factor):
        return _parted(stack, layer, k, context, back)
    if isinstance(layer, Autoregressive):
        return _one_by_one(stack, layer, k, context, back)
    assert isinstance(layer, Coupling)
    h, some = layer.split(from_grid(k), context)
    found = _mapped(stack, layer.univariate, to_grid(some), h, back)
    return layer.merge(torch.from_numpy(np.ascontiguousarray(k)), torch.from_numpy(found)).numpy()


def _one_by_one(stack: Stack, layer: Autoregressive, k: np.ndarray, context: Tensor | None, back: bool) -> np.ndarray:
    """Position by position in either direction: a net of all numbers at once would round its sums otherwise. The last one goes first, so
    that on the way back the first is found before those that read it.
    """
    indices = torch.arange(k[0].size, dtype=torch.float64).view(1, *k.shape[1:])
    places = layer.net.positions(indices)[0].long().numpy().T  # (positions, numbers of one)
    known, found, visits = k.reshape(len(k), -1), np.zeros((len(k), k[0].size), np.int64), list[tuple[np.ndarray, Tensor]]()

    def solve(i: int, h: Tensor) -> Tensor:
        visits.append((places[i], layer.offset(h).contiguous()))
        if not back:
            return from_grid(known[:, places[i]])
        found[:, places[i]] = _mapped(stack, layer.univariate, known[:, places[i]], visits[-1][1], True)
        return from_grid(found[:, places[i]])

    layer.net.unroll(solve, len(k), context)
    for place, h in () if back else reversed(visits):
        found[:, place] = _mapped(stack, layer.univariate, known[:, place], h, False)
    return found.reshape(k.shape)


def _parted(stack: Stack, layer: Factor, k: np.ndarray, context: Tensor | None, back: bool) -> np.ndarray:
    kept, left = (part.numpy() for part in layer.split(torch.from_numpy(np.ascontiguousarray(k))))
    if back:
        kept = through_layer(stack, layer.rest, kept, context, True)
        left = through_layer(stack, layer.part, left, join(from_grid(kept), context), True)
    else:
        left = through_layer(stack, layer.part, left, join(from_grid(kept), context))
        kept = through_layer(stack, layer.rest, kept, context)
    return layer.split.inverse(torch.from_numpy(kept), torch.from_numpy(left)).numpy()


def _mapped(stack: Stack, univariate: Univariate, k: np.ndarray, h: Tensor, back: bool) -> np.ndarray:
    """A scalar map of numbers ``(B, C, *rest)`` with parameters ``(B or 1, params, C or 1, *rest)``."""
    if isinstance(univariate, LINE_MAPS):
        moved, slope = univariate.forward(torch.zeros(k.shape, dtype=torch.float64), h)
        shift, (up, down) = to_grid(moved), ratio(slope.numpy())
        if isinstance(univariate, Additive):
            return k - shift if back else k + shift
        return rescale(stack, k - shift, up, down, back=True) if back else rescale(stack, k, up, down) + shift
    rows = h.expand(len(k), -1, *k.shape[1:]).movedim(1, -1).reshape(k.size, -1, 1)

    def map_of(part: slice) -> RisingMap:
        parameters = rows[part].contiguous()
        return lambda x: univariate.forward(x, parameters)[0]

    return bend(stack, map_of, np.ascontiguousarray(k).ravel(), back).reshape(k.shape)
