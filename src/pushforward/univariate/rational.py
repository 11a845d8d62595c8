"""The arithmetic of rational-quadratic splines."""

from __future__ import annotations

import torch
from torch import Tensor

TILT = 30.0  # a knot's derivative stays within this factor of the harmonic mean of the slopes beside it


def evaluate(y: Tensor, h: Tensor, bins: int, bound: float, floor: float, inverse: bool) -> tuple[Tensor, Tensor]:
    """The spline, or its inverse, at y within the interval, and its log derivative."""
    share = h[:, : 2 * bins].unflatten(1, (2, bins)).softmax(2)
    grid = (share * (2 * bound * (1 - bins * floor)) + 2 * bound * floor).cumsum(2)[:, :, :-1] - bound
    end = torch.full_like(share[:, :, :1], bound)
    grid = torch.cat([-3 * end, -end, grid, end, 3 * end], 2)  # with an imaginary bin on either side
    k = (y.unsqueeze(1) > grid[:, int(inverse), 2:-1]).sum(1, keepdim=True)
    around = torch.cat([k, k + 1, k + 2, k + 3], 1).unsqueeze(1).expand(-1, 2, -1, *y.shape[1:])
    grid = grid.expand(y.shape[0], 2, bins + 3, *y.shape[1:]).gather(2, around)
    left = grid[:, :, 1]
    size = grid[:, :, 1:] - grid[:, :, :-1]
    width, height = size[:, :, 1].unbind(1)

    steep = size[:, 1, ::2] * width.unsqueeze(1)
    flat = size[:, 0, ::2] * height.unsqueeze(1)
    mean = 2 * steep / (steep + flat)
    inner, edge = inner_knots(k, bins)
    gate = h[:, 2 * bins :].expand(y.shape[0], bins - 1, *y.shape[1:]).gather(1, inner).sigmoid()
    tilt = (1 + (TILT - 1) * gate) / (TILT - (TILT - 1) * gate)  # increasing, from 1/TILT to TILT, and 1 at 0
    ends = torch.where(edge, (width / height).unsqueeze(1), tilt * mean)
    a, b = ends.unbind(1)

    if inverse:
        t = root((y - left[:, 1]) / height, a, b)
        out = left[:, 0] + width * t
        _, slope = piece(t, a, b)
        slope = (width / height).log() - slope
    else:
        t = (y - left[:, 0]) / width
        out, slope = piece(t, a, b)
        out = left[:, 1] + height * out
        slope = slope - (width / height).log()
    return out, slope


def inner_knots(k: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Of the two knots of bin k ``(B, 1, C, *rest)``: their numbers among the inner knots, and True for one at an end instead."""
    knot = torch.cat([k - 1, k], 1)
    inner = knot.clamp(0, bins - 2)
    return inner, knot != inner


def piece(t: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One rational-quadratic piece of [0, 1] onto itself with end derivatives a and b, and its log derivative."""
    q = t * (1 - t)
    bottom = 1 + (a + b - 2) * q
    top = b * t.square() + 2 * q + a * (1 - t).square()
    return (t.square() + a * q) / bottom, (top / bottom.square()).log()


def root(s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """t in [0, 1] with ``piece(t) = s``.

    The quadratic of Durkan et al. (2019, eq. 29), with its discriminant as a sum of squares and the root written so
    that nothing cancels.
    """
    u = a * (1 - s) - b * s
    r = torch.where(u >= 0, u, -u) + (u.square() + 4 * s * (1 - s)).sqrt()  # by abs, the gradient at 0 would be neither side's
    return torch.where(u >= 0, 2 * s / (2 * s + r), r / (2 * (1 - s) + r))
