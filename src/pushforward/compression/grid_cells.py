"""Whole numbers with noise within their cell, as numbers on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core import Chain, Flow, Transform
from ..distributions import Normal
from ..transforms import Dequantize, Elementwise, Standardize
from ..univariate import Logit
from .damage import Damage
from .grid import POINT, UNIT, draw, from_grid, in_parts, keep, rescale
from .grid_layers import through_layer, why_not_on_grid
from .stack import Stack
from .standard import by_standard

NOISE_DIGITS = 24  # binary digits of uniform noise
LINE_DIGITS = 10  # digits more of noise on the line, as (0, 1) is steep at its ends
IMAGE_DIGITS = 6  # digits more of what such noise becomes
LINE_REACH = 16  # digits before the point of noise on the line
SIGMOID_END = 32.0  # beyond it a sigmoid is 0 or 1
CORRECTIONS = 64  # of a neighbour, where rounding has missed a number


@dataclass
class NoisyCells:
    """``y = f(x + u)`` for whole numbers x, noise u within (0, 1) and a rising f: the layers between a dequantization and the next layer
    that is not the same for every number.

    Noise is a number v on a fine grid. Of many v with one y the least is known from y, and how far v is above it goes onto the stack.

    Attributes:
        layer: the dequantization.
        f: the layers behind.
    """

    layer: Dequantize
    f: list[Transform]

    @classmethod
    def of(cls, layers: list[Transform]) -> tuple[NoisyCells, list[Transform]]:
        """The cells of a chain that begins with a dequantization, and the layers behind them."""
        first = layers[0]
        assert isinstance(first, Dequantize)
        count = next((i for i, layer in enumerate(layers[1:]) if not _is_common(layer)), len(layers) - 1)
        return cls(first, layers[1 : 1 + count]), layers[1 + count :]

    def put(self, stack: Stack, x: np.ndarray, context: Tensor | None) -> np.ndarray:
        """y on the grid, of noise that is drawn from the stack."""
        flow = self.noise
        v = None if flow is None else self._line(stack, flow, x, context, None)
        found = x.astype(np.int64).ravel()
        for part in in_parts(found.size, False):
            here = found[part]
            if flow is None or v is None:
                level = draw(stack, np.full(len(here), 1 << NOISE_DIGITS))
            else:
                level = rescale(stack, v.ravel()[part], UNIT << LINE_DIGITS, UNIT)
            y = self._image(here, level)
            least, beyond = self._least(here, y), self._least(here, y + 1)
            keep(stack, beyond - least, level - least)
            found[part] = rescale(stack, y, UNIT, UNIT << self.closer)
        return found.reshape(x.shape)

    def take(self, stack: Stack, y: np.ndarray, context: Tensor | None) -> np.ndarray:
        """x of y, whose noise goes back onto the stack."""
        flow = self.noise
        x, v = np.zeros(y.size, np.int64), np.zeros(y.size, np.int64)
        for part in in_parts(y.size, True):
            here = rescale(stack, y.ravel()[part], UNIT, UNIT << self.closer, back=True)
            x[part] = self._cell(here)
            least, beyond = self._least(x[part], here), self._least(x[part], here + 1)
            level = least + draw(stack, beyond - least)
            if flow is None:
                keep(stack, np.full(len(level), 1 << NOISE_DIGITS), level)
            else:
                v[part] = rescale(stack, level, UNIT << LINE_DIGITS, UNIT, back=True)
        found = x.reshape(y.shape)
        if flow is not None:
            self._line(stack, flow, found, context, v.reshape(y.shape))
        return found

    @property
    def noise(self) -> Flow | None:
        noise = self.layer.noise
        assert noise is None or isinstance(noise, Flow)
        return noise

    @property
    def closer(self) -> int:
        """Digits more of y before it is rounded."""
        return 0 if self.noise is None else IMAGE_DIGITS

    def _line(self, stack: Stack, flow: Flow, x: np.ndarray, context: Tensor | None, v: np.ndarray | None) -> np.ndarray:
        """The noise before its sigmoid: drawn, or v given back."""
        seen = self.layer.seen_by(flow, torch.from_numpy(x).double(), context)
        seen = None if seen is None else flow.embedding(seen)
        behind = Chain(*list(flow.transform.transforms)[1:])
        if v is None:
            return through_layer(stack, behind, by_standard(stack.popping, x.shape, None), seen, back=True)
        normal = through_layer(stack, behind, v, seen)
        with stack.pushing() as coder:
            by_standard(coder, normal.shape, normal)
        return v

    def _image(self, x: np.ndarray, level: np.ndarray) -> np.ndarray:
        """The last y whose least noise is at most this."""
        if self.noise is None:
            u = (level + 0.5) * 2.0**-NOISE_DIGITS
        else:
            u = torch.sigmoid(torch.from_numpy(level * 2.0 ** -(POINT + LINE_DIGITS))).numpy()
        y = np.clip(self._ahead(x + u, np.floor), self._edge(x), self._edge(x + 1) - 1)
        for _ in range(CORRECTIONS):
            less, more = self._least(x, y) > level, self._least(x, y + 1) <= level
            if not (less | more).any():
                return y
            y = y + more - less
        raise Damage("it holds a number whose noise has no image")

    def _least(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The least noise of y in the cell of x."""
        u = np.clip(self.behind(y) - x, 0.0, 1.0)
        if self.noise is None:
            low, high, level = 0, 1 << NOISE_DIGITS, u * 2.0**NOISE_DIGITS - 0.5
        else:
            high = 1 << (POINT + LINE_DIGITS + LINE_REACH)
            with np.errstate(divide="ignore"):
                low, level = -high, np.log(u / np.where(u < 1, 1 - u, 1e-300)) * 2.0 ** (POINT + LINE_DIGITS)
        inner = np.clip(np.ceil(level), low, high).astype(np.int64)
        return np.where(y <= self._edge(x), low, np.where(y >= self._edge(x + 1), high, inner))

    def _cell(self, y: np.ndarray) -> np.ndarray:
        """The whole number in whose cell y is."""
        levels = self.layer.levels
        assert levels is not None
        x = np.clip(np.floor(self.behind(y)), 0, levels - 1).astype(np.int64)
        for _ in range(CORRECTIONS):
            less, more = self._edge(x) > y, self._edge(x + 1) <= y
            if not (less | more).any():
                return x
            x = x + more - less
        raise Damage("it holds a number that is too far from the others")

    def _edge(self, x: np.ndarray) -> np.ndarray:
        """The first y of a cell, the nearest, so that it has hardly more noise than others; the outermost cells have no end."""
        assert self.layer.levels is not None
        last = round(2 * SIGMOID_END * 2 ** (POINT + self.closer)) * max(1, self.layer.levels)
        inner = self._ahead(x.astype(np.float64), np.rint)
        return np.where(x <= 0, -last, np.where(x >= self.layer.levels, last, inner))

    def _ahead(self, x: np.ndarray, rounding: np.ufunc) -> np.ndarray:
        y = torch.from_numpy(x).view(-1, 1, 1, 1)
        for layer in self.f:
            y = layer(y)[0]
        end = SIGMOID_END * max(1, self.layer.levels or 1)
        return rounding(np.clip(y.flatten().numpy(), -end, end) * 2.0 ** (POINT + self.closer)).astype(np.int64)

    def behind(self, y: np.ndarray) -> np.ndarray:
        """The real numbers x + u of y."""
        x = from_grid(y, POINT + self.closer).view(-1, 1, 1, 1)
        for layer in reversed(self.f):
            x = layer.inverse(x)[0]
        return x.flatten().numpy()


def why_no_cells(layers: list[Transform]) -> str:
    """What keeps a chain from beginning with cells, as the end of a sentence."""
    if not layers or not isinstance(layers[0], Dequantize) or layers[0].levels is None:
        return "it does not begin with the dequantization of whole numbers"
    noise = layers[0].noise
    if noise is None:
        return ""
    if not isinstance(noise, Flow) or not isinstance(noise.base, Normal) or not noise.transform.transforms:
        return "its noise is no flow over normals"
    first, *behind = noise.transform.transforms
    if not (isinstance(first, Elementwise) and isinstance(first.univariate, Logit)):
        return "its noise is no sigmoid of a flow"
    name = why_not_on_grid(Chain(*behind))
    return f"its noise goes through {name}, which has no form on a grid" if name else ""


def _is_common(layer: Transform) -> bool:
    """Whether a layer does the same to every number, and rises."""
    if isinstance(layer, Standardize):
        return layer.mean.numel() == 1
    return isinstance(layer, Elementwise) and layer.h[0].numel() == layer.univariate.params
