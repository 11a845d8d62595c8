"""Numerical inverses of increasing scalar maps: a bracket, guarded Newton steps, gradients by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], tuple[Tensor, Tensor]]  # x -> (f(x), log f'(x)), elementwise


def invert(f: Map, z: Tensor, low: Tensor, high: Tensor, doublings: int = 8, steps: int = 40) -> tuple[Tensor, Tensor]:
    r"""``(x, log dx/dz)`` with ``f(x) = z``, for an increasing and smooth f that holds its own parameters ``h``.

    The root is found without gradient; then two corrections ``x <- x - (f(x) - z) / f'(x)`` that leave the value as it is give
    ``dx/dz = 1 / f'`` and ``dx/dh = -f_h / f'``, and right second derivatives too; ``log dx/dz = -log f'`` is taken at that x.

    Shapes: ``low`` and ``high`` broadcast to the shape of ``z``, as does what f returns.
    Cost: ``2 doublings + steps + 3`` evaluations of f, whatever the data: Newton's steps where they are
    safe, bisection where they are not. What a backward pass keeps is three evaluations, not the search.

    Caveats: x is as exact as z can say, ``|z| eps / f'(x)``: where f is flat, many x share one z.
    A root outside of ``2^doublings`` times the first bracket is answered with the nearest end of the widest one.

    Arguments:
        f: the map, elementwise: ``x -> (f(x), log f'(x))``.
        z: where to invert it; finite.
        low, high: a first guess at a bracket, ``low <= high``; it need not hold the root.
        doublings: how often each side that does not hold the root moves out, by twice the distance of the time before.
        steps: evaluations of the search within the bracket.

    Example::

        >>> x, slope = invert(lambda x: (x.sinh(), x.cosh().log()), torch.linspace(-9, 9, 5), torch.tensor(-1.0), torch.tensor(1.0))
        >>> x.shape, slope.shape
        (torch.Size([5]), torch.Size([5]))
    """
    if z.device.type == "meta":  # shapes alone are wanted, and one round of each has them all
        doublings, steps = min(doublings, 1), 1
    with torch.no_grad():
        root = search(f, z, *bracket(f, z, low.expand_as(z), high.expand_as(z), doublings), steps)
    x = root
    limit = torch.finfo(z.dtype).tiny ** 0.5  # 1 / f' stays finite, also squared
    for _ in range(2):
        value, slope = f(x)
        miss = value - z
        x = x - (miss - miss.detach()) / slope.exp().clamp_min(limit)
    _, slope = f(x)
    return x, -slope


def bracket(f: Map, z: Tensor, low: Tensor, high: Tensor, doublings: int) -> tuple[Tensor, Tensor]:
    """Move the ends out until ``f(low) <= z <= f(high)``."""
    stride = (high - low).clamp_min(1e-3)
    for _ in range(doublings):
        low, high = torch.where(f(low)[0] > z, low - stride, low), torch.where(f(high)[0] < z, high + stride, high)
        stride = 2 * stride
    return low, high


def search(f: Map, z: Tensor, low: Tensor, high: Tensor, steps: int, close: float = 0.0, look: bool = False) -> Tensor:
    """The best of: Newton's step where it stays in the bracket and is at most half of the step before, else the bracket's middle.

    A point that has settled makes no step half as long as the one before, and is sent to the middle: so the best is kept. One that
    Newton's step would move by ``close (1 + |x|)`` or less stays, whatever the others do, and when all do the search is over, where values
    may be looked at (``look``). With ``close = 0`` all steps are made.
    """
    x = middle(low, high)
    best, least = x, torch.full_like(x, torch.inf)
    last = high - low
    for _ in range(steps):
        value, slope = f(x)
        miss = (value - z).abs()
        best, least = torch.where(miss < least, x, best), torch.minimum(miss, least)
        low, high = torch.where(value <= z, x, low), torch.where(value >= z, x, high)
        step = (z - value) / slope.exp()
        if close:
            least = torch.where(step.abs() <= close * (1 + x.abs()), -torch.inf, least)  # no other x is better
            if look and bool((least < 0).all()):
                break
        # a NaN (from an overflow) fails every comparison and leaves the middle
        safe = (x + step >= low) & (x + step <= high) & (step.abs() <= last / 2)
        after = torch.where(safe, x + step, middle(low, high))
        last = (after - x).abs()
        x = after
    return best


def middle(low: Tensor, high: Tensor) -> Tensor:
    """The middle on the scale of asinh, so that a bracket of many decades takes a few steps and not one for each factor of 2."""
    bent = torch.sinh((torch.asinh(low) + torch.asinh(high)) / 2)
    return torch.where((low < bent) & (bent < high), bent, low + (high - low) / 2)


def wide(x: Tensor) -> Tensor:
    """In float32 or better: half precision can't tell the z of one x from another."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
