"""Layers of vectors that the kernels compute as a whole, one or several after the other: net and scalar map, and linear maps between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ..core import Transform, unwatched, zeros
from ..kernels import AffineMap, LinearMap, MaskedLayer, MaskedLayout, Plain, Spline, Stage, run_stages
from ..univariate import Affine, RationalQuadratic, Univariate

__all__ = ["MaskedLayout", "Stage", "Staged", "has_code", "linear_stage", "masked_stage", "run_layers", "run_stages"]


class Staged(Transform):
    """A layer that can be part of a run of such layers, which is computed at once.

    It does not change the shape of rows. Only the class that defines :meth:`stage` is one: subclasses may compute anything else.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.run = staticmethod(run_layers) if "stage" in vars(cls) else None  # type: ignore[assignment]

    def stage(self, x: Tensor, context: Tensor | None, inverse: bool) -> Stage | None:
        """The layer for rows x ``(B, D)``, whose values do not matter, or ``None`` where no kernel knows what it has become."""
        raise NotImplementedError(f"{type(self).__name__} does not define stage")


def run_layers(layers: Sequence[Staged], inverse: bool, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Layers one after the other in the order of computation: what they give, and ldj."""
    total = zeros(x)
    for part in _parts(layers, inverse, x, context):
        if isinstance(part, Staged):
            x, ldj = part.inverse(x, context) if inverse else part(x, context)
        else:
            x, ldj = run_stages(part, x, inverse)
        total = total + ldj
    return x, total


def _parts(layers: Sequence[Staged], inverse: bool, x: Tensor, context: Tensor | None) -> Iterator[list[Stage] | Staged]:
    """Stages of at least one masked net with the linear maps beside it, and all other layers by themselves."""
    if x.dim() != 2 or not x.is_cpu or (inverse and torch.is_grad_enabled()):
        yield from layers
        return
    staged = [(layer, layer.stage(x, context, inverse) if unwatched(layer) else None) for layer in layers]
    for known, members in groupby(staged, key=lambda pair: pair[1] is not None):
        part = list(members)
        stages = [stage for _, stage in part if stage]
        if known and any(isinstance(stage.layer, MaskedLayer) for stage in stages):
            yield stages
        else:
            yield from (layer for layer, _ in part)


def has_code(univariate: Univariate) -> bool:
    """Whether there is a kernel for layers of this scalar map."""
    return type(univariate) is Affine or type(univariate) is RationalQuadratic


def masked_stage(plain: Plain, univariate: Univariate, net: MaskedLayout, tensors: Sequence[Tensor | None]) -> Stage:
    """The stage of a net and a scalar map that has code, ``plain(x, *tensors)``; see :class:`~pushforward.kernels.MaskedLayer`."""
    if isinstance(univariate, RationalQuadratic):
        return Stage(MaskedLayer(Spline(univariate.bins, univariate.bound, univariate.floor), net), plain, tensors)
    assert isinstance(univariate, Affine)
    return Stage(MaskedLayer(AffineMap(univariate.bound), net), plain, tensors)


def linear_stage(plain: Plain, tensors: Sequence[Tensor] = (), order: Sequence[int] | None = None) -> Stage:
    """The stage of a linear map, ``plain(x, *tensors)``; see :class:`~pushforward.kernels.LinearMap`."""
    return Stage(LinearMap(None if order is None else tuple(order)), plain, tensors)
