"""Masked convolutions whose Jacobian is triangular with a positive diagonal that is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform, full_precision, readable, sum_event
from ..univariate.bisection import search
from ..words import check_counts

CLOSE = 4  # a number's own search ends where Newton's step is of so many roundings
SETTLED = 100  # a row's sweeps end where z and x move by less than so many roundings
GAIN = 0.1  # of the last convolution at the start: the layer is near the identity, and no sign is 0


class Mint(Transform):
    r"""``z = t x + W_3 elu(W_2 elu(W_1 x + b_1) + b_2) + b_3`` with masked convolutions W; ``ldj = sum_i log(t_i + d_i)``.

    Each number has ``width`` hidden units in both hidden layers. What is before it in the order, channels first, then row by row, reaches
    its units by free weights, itself by the centre taps. Those of W_2 take the sign that makes each product along a path
    ``a_3 a_2 a_1 >= 0``, so that the Jacobian is triangular, with the diagonal ``t + d``,
    ``d = sum_lk a_3l elu'(h_2l) a_2lk elu'(h_1k) a_1k``, between t and ``t + sum a_3 a_2 a_1``: every layer is onto.

    Inverse: sweeps. One pass gives what all numbers get from those before them; then each solves for itself, all at once, by a bracket
    that the bounds on its slope give and guarded Newton steps that evaluate its own units alone. A number is right once those before
    it are: D sweeps are always enough, and a row stops where it moves by rounding alone, in few if its numbers read each other weakly.

    Shapes: x ``(B, D)`` or ``(B, C, H, W)``, context ``(B, context)``. Forward: one pass,
    ``(kernel C)^2 width (width + 2) H W`` multiplications (``D^2 width (width + 2)`` for vectors); exact. Inverse: at most D of them, D
    the dimension, with the evaluations of the search, mostly five, over ``kernel^2 C`` as much again for each. Gradients of samples
    record ``D + 1`` passes (each hands the derivatives on by one number, Newton's step the second ones too): dear for images.

    Caveats: where values can't be looked at (in a graph, under vmap) all D sweeps are made. x is as exact as the triangular system is
    well conditioned, and that can be exponential in D where numbers read each other more than themselves.

    Reference: MintNet: Building Invertible Neural Networks with Masked Convolutions, Song, Meng, Ermon, 2019, arXiv:1907.07945.
    Departures: the sweeps solve for each number, where the paper's make one damped Newton step, which need not converge;
    ``t >= floor`` (there 1e-12); weights start larger.

    Arguments:
        shape: of the event, ``(D,)`` or ``(C, H, W)``.
        width: hidden units of each number (45 in the paper for drawings).
        kernel: the side of the convolutions, odd; of no matter for vectors.
        reverse: take the numbers in the opposite order.
        context: its width; every hidden unit of the first layer sees it.
        floor: the least slope, above 0.
        search: evaluations of a number's own map in each sweep, at most.

    Raises:
        ValueError: another shape, counts below 1, an even kernel, no floor, x or a context of another shape.

    Example::

        >>> layer = Mint((3, 4, 4), width=2)
        >>> z, ldj = layer(torch.randn(8, 3, 4, 4))
        >>> z.shape, ldj.shape
        (torch.Size([8, 3, 4, 4]), torch.Size([8]))
    """

    mask: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 16,
        kernel: int = 3,
        reverse: bool = False,
        context: int = 0,
        floor: float = 0.01,
        search: int = 40,
    ):
        super().__init__()
        check_counts("Mint", width=width, kernel=kernel, search=search)
        check_counts("Mint", least=0, context=context)
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise ValueError(f"Mint: expected the shape of a vector (D,) or an image (C, H, W), got {tuple(shape)}")
        if kernel % 2 == 0 or not 0 < floor < 1:
            raise ValueError(f"Mint: expected an odd kernel and 0 < floor < 1, got {kernel} and {floor}")
        self.shape, self.width, self.reverse, self.context = tuple(shape), width, reverse, context
        self.floor, self.search = floor, search
        self.kernel = 1 if len(shape) == 1 else kernel
        self.register_buffer("mask", before(shape[0], self.kernel, reverse), persistent=False)
        hidden, reads = width * shape[0], (shape[0] * self.kernel**2 + 1) / 2  # numbers that a number reads, on average
        sides = ((hidden, shape[0], 1.0), (hidden, hidden, width**-0.5), (shape[0], hidden, GAIN * width**-0.5))
        self.weights = nn.ParameterList(
            torch.randn(outputs, inputs, self.kernel, self.kernel) * gain / math.sqrt(reads) for outputs, inputs, gain in sides
        )
        self.biases = nn.ParameterList(torch.empty(outputs).uniform_(-1, 1) * (outputs == hidden) for outputs, *_ in sides)
        self.embed = nn.Linear(context, hidden, bias=False) if context else None
        self.straight = nn.Parameter(torch.full(self.shape, math.log(math.expm1(1 - floor))))

    @full_precision
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(x)
        passed = self._passed(x, self._taps(), self._given(x, context))
        return passed.z, sum_event(passed.slope.log())

    @full_precision
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(z)
        taps, given = self._taps(), self._given(z, context)
        with torch.no_grad():
            x = self._solved(z, taps, given)[0]
        if torch.is_grad_enabled() and z.device.type != "meta":
            for _ in range(math.prod(self.shape) + 1):  # the value stays, each hands the derivatives on by one number
                passed = self._passed(x, taps, given)
                miss = passed.z - z
                x = x - (miss - miss.detach()) / passed.slope
        return x, -sum_event(self._passed(x, taps, given).slope.log())

    def sweeps(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """How many sweeps each row takes to be inverted, ``(B,)``; never more than its dimension."""
        self._check(z)
        with torch.no_grad():
            return self._solved(z, self._taps(), self._given(z, context))[1]

    def _solved(self, z: Tensor, taps: Taps, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """x without gradient, and the number of sweeps of each row."""
        x, sweeps = torch.zeros_like(z), torch.ones_like(z.flatten(1)[:, 0], dtype=torch.long)
        if z.is_meta or not readable():
            for _ in range(1 if z.is_meta else math.prod(self.shape)):
                x = self._sweep(x, z, taps, given, look=False)[0]
            return x, sweeps * math.prod(self.shape)
        rows, here = torch.arange(len(z), device=z.device), x  # those that still move, and where they are
        for sweep in range(math.prod(self.shape) if len(rows) else 0):
            here, unsettled = self._sweep(here, z[rows], taps, given if given is None else given[rows], look=True)
            x[rows], sweeps[rows] = here, sweep + 1
            if not unsettled.all():
                rows, here = rows[unsettled], here[unsettled]
            if not len(rows):
                break
        return x, sweeps

    def _sweep(self, x: Tensor, z: Tensor, taps: Taps, given: Tensor | None, look: bool) -> tuple[Tensor, Tensor]:
        """Each number after it has solved for itself, and whether a row has moved by more than rounding."""
        eps = torch.finfo(z.dtype).eps
        passed = self._passed(x, taps, given)
        miss = z - passed.z
        ends = miss / (taps.least + taps.rise), miss / taps.least
        low, high = x + torch.minimum(*ends), x + torch.maximum(*ends)
        after = search(alone(x, passed, taps), z, low, high, self.search, CLOSE * eps, look)
        unsettled = (miss.abs() > SETTLED * eps * (1 + z.abs())) | ((after - x).abs() > SETTLED * eps * (1 + x.abs()))
        return after, unsettled.flatten(1).any(1)

    def _passed(self, x: Tensor, taps: Taps, given: Tensor | None) -> Hidden:
        first = self._product(x, taps.dense[0], self.biases[0])
        first = first if given is None else first + given
        second = self._product(F.elu(first), taps.dense[1], self.biases[1])
        last = self._product(F.elu(second), taps.dense[2], self.biases[2])
        first, second = (h.unflatten(1, (self.width, self.shape[0])) for h in (first, second))
        return Hidden(last + taps.least * x, taps.least + slopes(first, second, taps.centres), first, second)

    def _product(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if h.dim() == 2:
            return F.linear(h, weight.flatten(1), bias)
        return F.conv2d(h, weight, bias, padding=self.kernel // 2)

    def _taps(self) -> Taps:
        """All weights as they are, and those by which a number reaches itself."""
        width, channels, middle = self.width, self.shape[0], self.kernel // 2
        first, second, last = (weight[..., middle, middle] for weight in self.weights)
        one = first.view(width, channels, channels).diagonal(dim1=1, dim2=2)
        three = last.view(channels, width, channels).diagonal(dim1=0, dim2=2)
        size = second.view(width, channels, width, channels).diagonal(dim1=1, dim2=3).abs()
        two = three.sign()[:, None] * size * one.sign()
        own = [one.diag_embed(dim1=1, dim2=2), two.diag_embed(dim1=1, dim2=3), three.diag_embed(dim1=0, dim2=2)]
        dense = []
        for weight, centre in zip(self.weights, own, strict=True):
            free = weight * self.mask.repeat(weight.shape[0] // channels, weight.shape[1] // channels, 1, 1)
            dense.append(free + F.pad(centre.reshape(*weight.shape[:2], 1, 1), (middle,) * 4))
        space = (1,) * (len(self.shape) - 1)
        centres = one.view(*one.shape, *space), two.view(*two.shape, *space), three.view(*three.shape, *space)
        rise = (three * (two * one).sum(1)).sum(0).view(channels, *space)
        return Taps(dense, centres, self.floor + F.softplus(self.straight), rise)

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        """What the context adds to the first layer."""
        if self.embed is None:
            return None
        if context is None or context.shape != (len(x), self.context):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"Mint: expected a context of shape ({len(x)}, {self.context}), got {got}")
        added = self.embed(context)
        return added.view(*added.shape, *(1 for _ in self.shape[1:]))

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ValueError(f"Mint: expected x of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        turned = ", reverse" if self.reverse else ""
        return f"{self.shape}, width={self.width}, kernel={self.kernel}{turned}, context={self.context}, floor={self.floor}"


Centres = tuple[Tensor, Tensor, Tensor]  # (L, C, *), (L, L, C, *), (L, C, *) with axes of length 1 for space


class Taps(NamedTuple):
    """Weights with their masks, the ways of a number to itself, its least slope t, and by how much at most the units raise that."""

    dense: Sequence[Tensor]
    centres: Centres
    least: Tensor
    rise: Tensor


class Hidden(NamedTuple):
    """One pass: z, its slopes, and what enters the hidden units, ``(B, L, C, *space)``."""

    z: Tensor
    slope: Tensor
    first: Tensor
    second: Tensor


def before(channels: int, kernel: int, reverse: bool) -> Tensor:
    """What a number reads strictly before it, ``(C, C, kernel, kernel)``: channels before it all around, its own in the order of sites."""
    order = torch.arange(kernel**2).view(kernel, kernel)
    difference = torch.arange(channels)[:, None] - torch.arange(channels)
    past = order < kernel**2 // 2
    if reverse:
        difference, past = -difference, order > kernel**2 // 2
    difference = difference[:, :, None, None]
    return ((difference > 0) | ((difference == 0) & past)).to(torch.get_default_dtype())


def mixed_units(weight: Tensor, units: Tensor) -> Tensor:
    """Each number's own units ``(B, L, C, *space)`` through its own square ``(L, L, C, *)``."""
    return torch.einsum("olc,blcn->bocn", weight.flatten(2), units.flatten(3) if units.dim() > 3 else units.unsqueeze(3)).view_as(units)


def slopes(first: Tensor, second: Tensor, centres: Centres) -> Tensor:
    """d, from what enters the hidden units."""
    one, two, three = centres
    inner = one * F.elu(first).clamp_max(0).add(1)  # elu' = min(elu, 0) + 1
    outer = three * F.elu(second).clamp_max(0).add(1)
    return (outer * mixed_units(two, inner)).sum(1)


def alone(x: Tensor, passed: Hidden, taps: Taps) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The map of each number by itself while what all others give stays: ``x -> (z, log dz/dx)``."""
    one, two, three = taps.centres
    first = passed.first - one * x.unsqueeze(1)
    second = passed.second - mixed_units(two, F.elu(passed.first))
    last = passed.z - taps.least * x - (three * F.elu(passed.second)).sum(1)

    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        h = first + one * x.unsqueeze(1)
        u = second + mixed_units(two, F.elu(h))
        z = last + taps.least * x + (three * F.elu(u)).sum(1)
        return z, (taps.least + slopes(h, u, taps.centres)).log()

    return f
