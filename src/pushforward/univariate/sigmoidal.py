"""Sigmoidal nets of one number: increasing, the line onto the line."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Univariate
from .bisection import invert, wide

LEAST = 1e-6  # the least weight of a unit
FAR = 80.0  # exp of it is finite in float32
PASS = 2.0  # at the start, by how much a weight's logit favours what stands at its own place


class Layer(NamedTuple):
    """``y -> logit(outputs sigmoid(scales (inputs y - centres)))`` for K units."""

    inputs: Tensor | None  # (B or 1, K, numbers, C, *rest); None where a single number goes to every unit
    centres: Tensor  # (B or 1, K, C, *rest)
    scales: Tensor  # (B or 1, K, C, *rest)
    outputs: Tensor  # (B or 1, numbers, K, C, *rest)


class DeepSigmoidal(Univariate):
    r"""The logit of a mixture of sigmoids, the line onto the line: one layer of a deep sigmoidal flow.

    ``z = floor x + (1 - floor) logit(sum_k w_k sigmoid(a_k (x - mu_k)))`` with weights ``w = softmax(h_k)``, centres ``mu_k = h_(K+k)`` and
    ``log a_k = bound tanh(h_(2K+k) / bound)`` for K units.

    ``h`` is ``(B or 1, 3 units, C, *rest)``: weights before softmax, centres, log-slopes. ``identity`` spreads units over the quantiles
    of the logistic distribution, with slopes to match: within 0.13 of the identity on [-3, 3] from 8 units on (one unit is the identity
    itself); equal units would receive equal gradients and stay equal. Forward costs O(units) and is exact; the inverse is numerical,
    some 50 times that, with exact gradients (:func:`~.bisection.invert`).

    The mixture P and its complement 1 - P are summed apart, each scaled by its greatest term, and z is the difference of their
    logarithms: nothing saturates. Far out z is linear, of the least ``a_k``.

    Where it departs from the paper: the linear term (a least slope), so that between steep units, where the logit alone is as flat
    as floats can tell, the inverse stays well conditioned: float32 round trips hold to 1e-3 whatever the parameters.
    Slopes are bounded for the same reason, and a unit has a centre in place of an offset, so that it keeps its place as it steepens.

    Reference: Neural Autoregressive Flows, Huang, Krueger, Lacoste, Courville, 2018, arXiv:1804.00779 (DSF).

    Arguments:
        units: how many sigmoids.
        bound: log-slopes of units stay within ``+-bound``.
        floor: the least slope of the map.

    Raises:
        ValueError: no units, a bound that is not positive and finite, or a floor not in (0, 1).

    Example::

        >>> deep = DeepSigmoidal(units=16)
        >>> z, slope = deep.forward(torch.randn(32, 3), torch.randn(32, deep.params, 3))
        >>> deep.params, z.shape, slope.shape
        (48, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, units: int = 16, bound: float = 5.0, floor: float = 0.01):
        check("DeepSigmoidal", {"unit": units}, bound, floor)
        self.units = units
        self.bound = bound
        self.floor = floor
        self.params = 3 * units
        self.identity = (*(0.0,) * units, *spread(units))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        z, slope = net(y, self._layers(h.to(y.dtype)), self.floor)
        return z.to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        x, slope = unnet(y, self._layers(h.to(y.dtype)), self.floor)
        return x.to(z.dtype), slope

    def _layers(self, h: Tensor) -> list[Layer]:
        weights, centres, scales = h.unflatten(1, (3, self.units)).unbind(1)
        return [Layer(None, centres, bounded(scales, self.bound), shares(weights, 1))]


class DenseSigmoidal(Univariate):
    r"""A dense net of sigmoids, the line onto the line: a dense deep sigmoidal flow.

    Layer l takes numbers y to ``logit(W sigmoid(a (U y - mu)))``, its ``width`` sigmoids reading averages of y by the rows of U and
    its outputs averaging sigmoids by the rows of W, all rows softmaxes; ``log a = bound tanh(h_a / bound)``. The first layer reads
    x alone, the last one gives one number, and ``z = floor x + (1 - floor) y``.

    ``h`` is ``(B or 1, params, C, *rest)``: for each layer centres, log-slopes, U before softmax (but for the first), W before softmax;
    ``params = 3 width depth + (2 width - 1) width (depth - 1)``. ``identity``: the first layer's units as those of :class:`DeepSigmoidal`,
    each passed on in its own place, within 0.14 of the identity on [-3, 3] for 4 units and 2 layers. Forward costs O(depth width^2) and
    is exact; the inverse is numerical, some 50 times that, with exact gradients (:func:`~.bisection.invert`).

    Where it departs from the paper: as :class:`DeepSigmoidal`; and all of W and U come from h, while the paper's own have a part that
    is shared by all x.

    Reference: Neural Autoregressive Flows, Huang, Krueger, Lacoste, Courville, 2018, arXiv:1804.00779 (DDSF).

    Arguments:
        width: sigmoids in each layer.
        depth: layers.
        bound: log-slopes of units stay within ``+-bound``.
        floor: the least slope of the map.

    Raises:
        ValueError: no width or depth, a bound that is not positive and finite, or a floor not in (0, 1).

    Example::

        >>> dense = DenseSigmoidal(width=4, depth=2)
        >>> z, slope = dense.forward(torch.randn(32, 3), torch.randn(32, dense.params, 3))
        >>> dense.params, z.shape, slope.shape
        (52, torch.Size([32, 3]), torch.Size([32, 3]))
    """

    def __init__(self, width: int = 4, depth: int = 2, bound: float = 3.0, floor: float = 0.01):
        check("DenseSigmoidal", {"unit": width, "layer": depth}, bound, floor)
        self.width = width
        self.depth = depth
        self.bound = bound
        self.floor = floor
        self.params = 3 * width * depth + (2 * width - 1) * width * (depth - 1)
        passing = tuple(PASS * (i == j) for i in range(width) for j in range(width))
        first, mixing = spread(width), (*(0.0,) * (2 * width), *passing)  # centres and log-slopes; W or U of square shape
        self.identity = (*first, *(*passing, *mixing) * (depth - 1), *(0.0,) * width)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(x)
        z, slope = net(y, self._layers(h.to(y.dtype)), self.floor)
        return z.to(x.dtype), slope

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = wide(z)
        x, slope = unnet(y, self._layers(h.to(y.dtype)), self.floor)
        return x.to(z.dtype), slope

    def _layers(self, h: Tensor) -> list[Layer]:
        layers = []
        for i in range(self.depth):
            rows = self.width if i < self.depth - 1 else 1
            sizes = [self.width, self.width, self.width**2 if i else 0, rows * self.width]
            centres, scales, inputs, outputs, h = h.split([*sizes, h.shape[1] - sum(sizes)], 1)
            mixed = shares(inputs, self.width) if i else None
            layers.append(Layer(mixed, centres, bounded(scales, self.bound), shares(outputs, rows)))
        return layers


def check(name: str, counts: dict[str, int], bound: float, floor: float) -> None:
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: expected at least 1 {what}, got {count}")
    if not 0 < bound < math.inf:
        raise ValueError(f"{name}: bound must be positive and finite, got {bound}")
    if not 0 < floor < 1:
        raise ValueError(f"{name}: floor must lie in (0, 1), got {floor}")


def spread(units: int) -> tuple[float, ...]:
    """Centres at the quantiles of the logistic distribution, log-slopes by the density of the centres there."""
    places = [(k + 0.5) / units for k in range(units)]
    return (*(math.log(p / (1 - p)) for p in places), *(math.log(max(1.0, 2.5 * units * p * (1 - p))) for p in places))


def shares(h: Tensor, rows: int) -> Tensor:
    """Rows of weights ``(B or 1, rows, K, C, *rest)`` that add up to 1, none of them 0."""
    h = h.unflatten(1, (rows, -1))
    return h.softmax(2) * (1 - LEAST * h.shape[2]) + LEAST


def bounded(h: Tensor, bound: float) -> Tensor:
    return (torch.tanh(h / bound) * bound).exp()


def net(x: Tensor, layers: list[Layer], floor: float) -> tuple[Tensor, Tensor]:
    """The map and the logarithm of its slope."""
    y, slope = x.unsqueeze(1), torch.ones_like(x).unsqueeze(1)
    for layer in layers:
        y, slope = sigmoids(y, slope, layer)
    return floor * x + (1 - floor) * y[:, 0], (floor + (1 - floor) * slope[:, 0]).log()


def sigmoids(y: Tensor, slope: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """One layer, and the slope of what it gives where ``slope`` is that of y: ``(B, numbers, C, *rest)``."""
    if layer.inputs is not None:
        y, slope = (layer.inputs * y.unsqueeze(1)).sum(2), (layer.inputs * slope.unsqueeze(1)).sum(2)
    u = layer.scales * (y - layer.centres)
    # sigmoid(u) = exp(top) p and sigmoid(-u) = exp(bottom) q, where neither p nor q vanishes in all units at once
    top = u.detach().amax(1, keepdim=True).clamp_max(0)
    bottom = -u.detach().amin(1, keepdim=True).clamp_min(0)
    p = 1 / (top.exp() + (top - u).clamp_max(FAR).exp())
    q = 1 / (bottom.exp() + (bottom + u).clamp_max(FAR).exp())
    over, under, middle = ((layer.outputs * part.unsqueeze(1)).sum(2) for part in (p, q, p * q * layer.scales * slope))
    return top - bottom + over.log() - under.log(), middle / (over * under)


def unnet(z: Tensor, layers: list[Layer], floor: float) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`net`: a layer's output lies between the least and the greatest of its ``scales (y - centres)``."""
    with torch.no_grad():
        low, high = z.unsqueeze(1), z.unsqueeze(1)
        for layer in reversed(layers):
            low = (low / layer.scales + layer.centres).amin(1, keepdim=True)
            high = (high / layer.scales + layer.centres).amax(1, keepdim=True)
        low, high = torch.minimum(low[:, 0], z), torch.maximum(high[:, 0], z)  # the linear term gives z at z
    return invert(lambda x: net(x, layers, floor), z, low, high, doublings=1)
