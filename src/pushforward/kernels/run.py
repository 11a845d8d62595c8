"""Layers of vectors one after the other, net by net in one pass over tiles of the batch: either way, and the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .door import Kernel, Plain, dispatch
from .library import Fields, launch, structure_of
from .linear_map import LinearMap
from .masked_layer import MaskedLayer

REMEMBERED = 2**26  # bytes of units and parameters at most that are kept for the gradient


class Stage(NamedTuple):
    """A layer of a run.

    Attributes:
        layer: what the kernel knows of it.
        plain: ``plain(x, *tensors)``, z ``(B, D)`` and ldj ``(B,)`` of the layer; x and its ldj in an inverse run.
        tensors: its numbers, as the layer says.
    """

    layer: MaskedLayer | LinearMap
    plain: Plain
    tensors: Sequence[Tensor | None]


def run_stages(stages: Sequence[Stage], x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Their plain functions one after the other, ldj summed."""
    return dispatch(LayerRun(stages, inverse), x, *(t for stage in stages for t in stage.tensors))


class LayerRun(Kernel):
    """The inverse has no gradient, which would keep as much as the plain path does. For the gradient what enters each layer is kept, and
    its units where they are few.
    """

    def __init__(self, stages: Sequence[Stage], inverse: bool):
        self.layers, self.plains = [stage.layer for stage in stages], [stage.plain for stage in stages]
        self.counts, self.inverse = [len(stage.tensors) for stage in stages], inverse
        self.differentiable = not inverse

    def plain(self, x: Tensor, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for plain, own in zip(self.plains, self._own(tensors)):
            x, ldj = plain(x, *own)
            total = ldj if total is None else total + ldj
        assert total is not None
        return x, total

    def fits(self, x: Tensor, *tensors: Tensor | None) -> bool:
        if x.dim() != 2 or not len(x):
            return False
        return all(layer.fits(*x.shape, *own) for layer, own in zip(self.layers, self._own(tensors)))  # type: ignore[arg-type]

    def forward(self, x: Tensor, *tensors: Tensor | None, keep: bool = False) -> tuple[Any, ...]:
        out, ldj, kept = evaluate(self.layers, self.inverse, x.t().contiguous(), self._own(tensors), keep)
        return out.t(), ldj, *kept

    def gradient(self, inputs: Sequence[Any], kept: Sequence[Any], g_out: Tensor, g_slope: Tensor) -> list[Tensor | None]:
        x, *tensors = inputs
        g_x, gradients = differentiate(self.layers, x.t().contiguous(), kept, self._own(tensors), g_out.t(), g_slope)
        return [g_x.t(), *gradients]

    def traced(self, x: Tensor, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
        (layer,), (own,) = self.layers, self._own(tensors)  # a graph has its layers one by one
        if not isinstance(layer, MaskedLayer):
            return self.plain(x, *tensors)
        given, *weights = own
        options = (0, layer.kind.bound, 0.0) if layer.kind.params == 2 else layer.kind
        net = list(layer.net.order), list(layer.net.ends), layer.net.residual, layer.net.kept
        columns = x.t().contiguous(), given if given is None else given.contiguous()
        out, ldj = torch.ops.pushforward.masked(*options, *net, self.inverse, *columns, weights)
        return out.t(), ldj

    def _own(self, tensors: Sequence[Tensor | None]) -> list[Sequence[Tensor | None]]:
        """By layer."""
        ends = [sum(self.counts[:i]) for i in range(len(self.counts) + 1)]
        return [tensors[a:b] for a, b in pairwise(ends)]


def evaluate(
    layers: Sequence[MaskedLayer | LinearMap], inverse: bool, x: Tensor, own: Sequence[Sequence[Any]], keep: bool
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """x ``(D, B)`` (z if inverse), contiguous, to ``(D, B)`` and ldj ``(B,)``; and what :func:`differentiate` takes, if it is kept."""
    ldj, entered, every = x.new_zeros(x.shape[1]), [x], []
    units = units_of(layers, x, own) if keep else [None] * len(layers)
    for layer, tensors, memory in zip(layers, own, units):
        fields = layer.fields(inverse, *tensors)
        log_det = layer.log_det(*tensors)
        if log_det is not None:
            ldj += -log_det if inverse else log_det
        out = torch.empty_like(x) if keep or len(entered) == 1 else entered[-1]
        fields.numbers.update(batch=x.shape[1], dim=len(x))
        fields.tensors.update(x=entered[-1], out=out, ldj=ldj, units=memory)
        every.append(fields)
        entered.append(out)
    _launch("run", x.dtype, every)
    return entered[-1], ldj, [*entered[1:-1], *units] if keep else []


def units_of(layers: Sequence[MaskedLayer | LinearMap], x: Tensor, own: Sequence[Sequence[Any]]) -> list[Tensor | None]:
    """Memory for each layer's units and parameters, if it is not too much: by a gradient they are read faster than computed again."""
    sizes = [layer.memory(x, *tensors) for layer, tensors in zip(layers, own)]
    if x.itemsize * sum(sizes) > REMEMBERED:
        return [None] * len(layers)
    return [part if len(part) else None for part in x.new_empty(sum(sizes)).split(sizes)]


def differentiate(
    layers: Sequence[MaskedLayer | LinearMap],
    x: Tensor,
    kept: Sequence[Tensor | None],
    own: Sequence[Sequence[Any]],
    g_out: Tensor,
    g_ldj: Tensor,
) -> tuple[Tensor, list[Tensor | None]]:
    """The gradients of x ``(D, B)`` and of all tensors, from those of ``evaluate(..., inverse=False)``; of what a mask hides, zero.

    ``kept`` is what entered each layer but the first, and each layer's units or ``None``.
    """
    if g_out.shape != x.shape or g_ldj.shape != x.shape[1:]:
        raise ValueError(f"kernels: expected gradients of x {tuple(x.shape)} and ldj, got {tuple(g_out.shape)} and {tuple(g_ldj.shape)}")
    g_x, above, g_log_det = torch.empty_like(x), g_out.contiguous(), g_ldj.sum()
    every, made = [], []
    for i, (layer, tensors) in enumerate(zip(layers, own)):
        fields = layer.fields(False, *tensors)
        more, gradients = layer.gradient_fields(*tensors)
        last = i == len(layers) - 1
        fields.numbers.update(batch=x.shape[1], dim=len(x), **more.numbers)
        fields.tensors.update(x=kept[i - 1] if i else x, units=kept[len(layers) - 1 + i], g_ldj=g_ldj, g_x=g_x, **more.tensors)
        fields.tensors["g_out"] = above if last else g_x
        fields.lists.update(more.lists)
        every.append(fields)
        made.append(gradients)
    _launch("run_gradient", x.dtype, every)
    return g_x, [g for layer, gradients, tensors in zip(layers, made, own) for g in layer.gradients(gradients, g_log_det, *tensors)]


def _launch(name: str, dtype: torch.dtype, layers: Sequence[Fields]) -> None:
    alive: list[Any] = []
    structures = [structure_of("layer", fields, dtype, alive) for fields in layers]
    launch(name, dtype, (type(structures[0]) * len(layers))(*structures), len(layers))
