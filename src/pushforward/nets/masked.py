"""A masked net as data, for what computes it in another way."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Masked(NamedTuple):
    """A dense net whose hidden units are sorted by how many features they see, so that its masks are block triangular.

    Attributes:
        order: the features by position.
        ends: how many hidden units are known at a position.
        residual: its square layers are blocks of two, before the activation.
        given: what a context adds to the first layer, ``(B, width)``.
        weights: weight and bias of the first layer ``(width, D - 1)``, of each square one, and of the last ``(params D, width)``, unmasked.
    """

    order: tuple[int, ...]
    ends: tuple[int, ...]
    residual: bool
    given: Tensor | None
    weights: list[Tensor]
