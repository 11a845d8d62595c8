"""What monotone splines share: knots from logits, the bin of a number, the identity outside of the interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .bisection import wide


class Bin(NamedTuple):
    """The bin that a number fell into; each ``(B, C, *rest)``."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor


def check(name: str, bins: int, bound: float, floor: float | None = None, least: int = 2) -> None:
    if bins < least:
        raise ValueError(f"{name}: expected at least {least} bins, got {bins}")
    if not 0 < bound < math.inf:
        raise ValueError(f"{name}: bound must be positive and finite, got {bound}")
    if floor is not None and not 0 < floor * bins < 1:
        raise ValueError(f"{name}: {bins} bins of at least {floor} of the interval each do not fit; lower floor or bins")


def with_tails(curve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, h: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """``curve(y, h)``, a map of ``[-bound, bound]`` onto itself and its log derivative, with the identity outside; in float32 or better."""
    y = wide(x)
    inside = y.abs() <= bound
    # clamped before the maths: a NaN that `where` hides in the value would still poison the gradient
    out, slope = curve(y.clamp(-bound, bound), h.to(y.dtype))
    out = out + (out.clamp(-bound, bound) - out).detach()  # what rounding put beyond the bound keeps its gradient
    return torch.where(inside, out, y).to(x.dtype), torch.where(inside, slope, 0.0)


def shares(logits: Tensor, floor: float) -> Tensor:
    """Parts of 1, each at least floor, over axis 1."""
    return logits.softmax(1) * (1 - logits.shape[1] * floor) + floor


def knots(shares: Tensor, bound: float) -> Tensor:
    """The ends of bins that divide ``[-bound, bound]`` in those shares: ``(B or 1, bins, C, *rest) -> (B or 1, bins + 1, C, *rest)``."""
    inner = (2 * bound * shares[:, :-1]).cumsum(1) - bound
    end = torch.full_like(shares[:, :1], bound)
    return torch.cat([-end, inner, end], 1)


def locate(y: Tensor, across: Tensor, up: Tensor, inverse: bool) -> tuple[Tensor, Bin]:
    """The number of the bin of y ``(B, 1, C, *rest)``, on the z axis (up) if inverse, else on the x axis (across), and that bin."""
    k = (y.unsqueeze(1) > (up if inverse else across)[:, 1:-1]).sum(1, keepdim=True)
    left, bottom = pick(across, k), pick(up, k)
    return k, Bin(left, pick(across, k + 1) - left, bottom, pick(up, k + 1) - bottom)


def pick(values: Tensor, k: Tensor) -> Tensor:
    """Entry k of axis 1: ``(B or 1, n, C or 1, *rest)`` at ``(B, 1, C, *rest)`` gives ``(B, C, *rest)``."""
    return values.expand(k.shape[0], -1, *k.shape[2:]).gather(1, k).squeeze(1)
