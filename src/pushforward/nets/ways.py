"""Three ways to compute convolutions that look up and to the left: of a whole image, row by row, and site by site."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import out_of_patches

if TYPE_CHECKING:
    from .shifted_conv import ShiftedConv


class Way:
    """How layers go over an image. Blocks that ask their way for convolutions serve one pass and a visit with the same lines.

    What a way remembers of the sites before belongs to who made it: it lives as long as one visit.
    """

    def conv(self, layer: ShiftedConv, x: Tensor) -> Tensor:
        """A convolution of all that is visited now; one with a stride gives nothing of use where ``coarse`` is None."""
        raise NotImplementedError(f"{type(self).__name__} does not define conv")

    def coarse(self) -> Way | None:
        """The way over half the resolution, if a row or a site of it begins here."""
        raise NotImplementedError(f"{type(self).__name__} does not define coarse")

    def halved(self, given: Tensor | None) -> Tensor | None:
        """What is given at the sites of half the resolution."""
        raise NotImplementedError(f"{type(self).__name__} does not define halved")

    def spread(self, layer: object, h: Tensor | None) -> Tensor:
        """Features ``(B, 4 F, ...)`` of half the resolution as ``(B, F, ...)`` of this one; None where they were given before."""
        raise NotImplementedError(f"{type(self).__name__} does not define spread")

    def part(self, h: Tensor) -> Tensor:
        """Of features of another way over the same image, those that are visited now."""
        return h


class Whole(Way):
    """All sites in one pass: ``(B, C, H, W)``."""

    def conv(self, layer: ShiftedConv, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, layer.pads) if any(layer.pads) else x, layer.weight(), layer.bias, layer.stride)

    def coarse(self) -> Whole:
        return self

    def halved(self, given: Tensor | None) -> Tensor | None:
        return None if given is None else given[:, :, ::2, ::2]

    def spread(self, layer: object, h: Tensor | None) -> Tensor:
        assert h is not None
        return out_of_patches(h, 2)


WHOLE = Whole()


class ByRow(Way):
    """One row after the other, for what reads whole rows above: ``(B, C, W)``."""

    def __init__(self) -> None:
        self.row = 0
        self.memory: dict[object, Any] = {}
        self.below: ByRow | None = None

    def at(self, row: int) -> ByRow:
        self.row = row
        return self

    def conv(self, layer: ShiftedConv, x: Tensor) -> Tensor:
        height, width = layer.kernel
        if layer not in self.memory:
            self.memory[layer] = layer.weight().transpose(1, 2).flatten(1, 2), layer.bias, x.new_zeros(()).expand_as(x)
        weight, bias, above = self.memory[layer]
        self.memory[layer] = weight, bias, x
        if layer.stride > 1 and self.row % 2:
            return x
        return F.conv1d(torch.cat([above, x], 1) if height > 1 else x, weight, bias, layer.stride, width // 2)

    def coarse(self) -> ByRow | None:
        if self.row % 2:
            return None
        self.below = self.below or ByRow()
        return self.below.at(self.row // 2)

    def halved(self, given: Tensor | None) -> Tensor | None:
        return None if given is None else given[:, :, ::2]

    def spread(self, layer: object, h: Tensor | None) -> Tensor:
        if h is not None:
            self.memory[layer] = h
        return self.memory[layer].unflatten(1, (-1, 2, 2))[:, :, self.row % 2].transpose(2, 3).flatten(2)


class BySite(Way):
    """One site after the other: ``(B, C)``, of an image of that width."""

    def __init__(self, width: int) -> None:
        self.width, self.row, self.column = width, 0, 0
        self.memory: dict[object, Any] = {}
        self.below: BySite | None = None

    def at(self, row: int, column: int) -> BySite:
        self.row, self.column = row, column
        return self

    def conv(self, layer: ShiftedConv, x: Tensor) -> Tensor:
        if layer not in self.memory:
            nothing = x.new_zeros(()).expand_as(x)
            seen = deque([nothing] * (self.width + 2), self.width + 2)
            self.memory[layer] = layer.weight().permute(0, 2, 3, 1).flatten(1), layer.bias, nothing, seen
        weight, bias, nothing, seen = self.memory[layer]
        if layer.kernel != (1, 1):
            seen.append(x)
        if layer.stride > 1 and self.coarse() is None:
            return x
        if layer.kernel == (2, 2):
            left = [nothing, nothing] if self.column == 0 else [seen[0], seen[-2]]
            x = torch.cat([left[0], seen[1], left[1], x], 1)
        elif layer.kernel == (2, 1):
            x = torch.cat([seen[1], x], 1)
        return F.linear(x, weight, bias)

    def coarse(self) -> BySite | None:
        if self.row % 2 or self.column % 2:
            return None
        self.below = self.below or BySite(self.width // 2)
        return self.below.at(self.row // 2, self.column // 2)

    def halved(self, given: Tensor | None) -> Tensor | None:
        return given

    def spread(self, layer: object, h: Tensor | None) -> Tensor:
        place = layer, self.column // 2
        if h is not None:
            self.memory[place] = h
        return self.memory[place].unflatten(1, (-1, 2, 2))[:, :, self.row % 2, self.column % 2]

    def part(self, h: Tensor) -> Tensor:
        return h[:, :, self.column]
