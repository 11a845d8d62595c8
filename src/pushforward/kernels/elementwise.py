"""Scalar maps as one pass over the numbers, in place of some hundred operations over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .door import Kernel, Plain, dispatch
from .layout import Layout
from .library import MOST, call


class Spline(NamedTuple):
    """A rational-quadratic spline, as :class:`~pushforward.univariate.RationalQuadratic` has it."""

    bins: int
    bound: float
    floor: float

    @property
    def params(self) -> int:
        return 3 * self.bins - 1


class Mixture(NamedTuple):
    """A mixture of Gaussians or logistics: its distribution function alone, or followed by the quantile function of a component."""

    components: int
    bound: float
    gaussian: bool
    quantile: bool

    @property
    def params(self) -> int:
        return 3 * self.components


LEAST_SIZES = {Spline: 2, Mixture: 1}  # bins or components at least


def spline(plain: Plain, x: Tensor, h: Tensor, kind: Spline, inverse: bool) -> tuple[Tensor, Tensor]:
    """``plain(x, h)``: value and log derivative of a spline, x ``(B, C, *rest)`` and h ``(B or 1, params, C, *rest)`` in any layout."""
    return dispatch(SplineMap(plain, kind, inverse), x, h)


def mixture(plain: Plain, x: Tensor, h: Tensor, kind: Mixture, inverse: bool) -> tuple[Tensor, Tensor]:
    """The same of a mixture. To the inverse of a distribution function alone z must be inside (0, 1)."""
    return dispatch(MixtureMap(plain, kind, inverse), x, h)


class ScalarMap(Kernel):
    """What the scalar maps share: numbers and parameters in blocks."""

    kind: Spline | Mixture
    name: str
    keeps_output = False  # the gradient is taken at the value

    def __init__(self, plain: Plain, kind: Spline | Mixture, inverse: bool):
        self.plain, self.kind, self.inverse = plain, kind, inverse

    def fits(self, x: Tensor, h: Tensor) -> bool:
        if not LEAST_SIZES[type(self.kind)] <= self.kind[0] <= MOST or h.dim() != x.dim() + 1 or x.dim() < 2 or not x.numel():
            return False
        return h.shape[1] == self.kind.params and all(m in (1, n) for m, n in zip((h.shape[0], *h.shape[2:]), x.shape))

    def forward(self, x: Tensor, h: Tensor, keep: bool = False) -> tuple[Any, ...]:
        layout = Layout(x, h)
        out, slope = (layout.shaped(t) for t in self.value(layout.rows(x), layout.parameters(h)))
        return out, slope, *([out] if keep and self.keeps_output else [])

    def value(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate_numbers(self.name, self.kind, self.inverse, x, h)

    def gradient(self, inputs: Sequence[Any], kept: Sequence[Any], g_out: Tensor, g_slope: Tensor) -> tuple[Tensor, Tensor]:
        x, h = inputs
        layout = Layout(x, h)
        at, *given = (layout.rows(t) for t in (kept[0] if kept else x, g_out, g_slope))
        g_x, g_h = differentiate_numbers(self.name, self.kind, self.inverse, at, layout.parameters(h), *given)
        return layout.shaped(g_x), layout.gathered(g_h)


class SplineMap(ScalarMap):
    name = "spline"

    def traced(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        layout = Layout(x, h)
        out, slope = torch.ops.pushforward.spline(layout.rows(x), layout.parameters(h), *self.kind, self.inverse)
        return layout.shaped(out), layout.shaped(slope)


class MixtureMap(ScalarMap):
    """torch.compile fuses the plain path. The gradient of the inverse is taken at the x that was found."""

    kind: Mixture
    name = "mixture"

    def __init__(self, plain: Plain, kind: Mixture, inverse: bool):
        super().__init__(plain, kind, inverse)
        self.keeps_output = inverse

    def value(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        if not self.inverse:
            return super().value(x, h)
        # the logit of the distribution function's value, and the quantile that one standard component has there
        if self.kind.quantile:
            logit, q = torch.special.log_ndtr(x) - torch.special.log_ndtr(-x) if self.kind.gaussian else x, x
        else:
            logit = torch.logit(x)
            q = torch.special.ndtri(x) if self.kind.gaussian else logit
        return evaluate_numbers("mixture_inverse", self.kind, True, logit, h, q)


def evaluate_numbers(
    name: str, kind: Spline | Mixture, inverse: bool, x: Tensor, h: Tensor, q: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Value and log derivative of numbers ``(blocks, numbers)`` with parameters ``(blocks or 1, params, numbers)``."""
    out, slope = torch.empty_like(x), torch.empty_like(x)
    call(name, "numbers", described(kind, inverse, x, h), {"x": x, "q": q, "out": out, "slope": slope})
    return out, slope


def differentiate_numbers(
    name: str, kind: Spline | Mixture, inverse: bool, x: Tensor, h: Tensor, g_out: Tensor, g_slope: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of numbers and parameters, the latter's for each block."""
    if not x.shape == g_out.shape == g_slope.shape:
        raise ValueError(f"kernels: expected gradients of shape {tuple(x.shape)}, got {tuple(g_out.shape)} and {tuple(g_slope.shape)}")
    g_x, g_h = torch.empty_like(x), x.new_empty(x.shape[0], h.shape[1], x.shape[1])
    tensors: dict[str, Tensor | None] = {"x": x, "g_out": g_out, "g_slope": g_slope, "g_x": g_x, "g_h": g_h}
    call(f"{name}_gradient", "numbers", described(kind, inverse, x, h), tensors)
    return g_x, g_h


def described(kind: Spline | Mixture, inverse: bool, x: Tensor, h: Tensor) -> dict[str, Any]:
    """All but the numbers: parameters may be strided from block to block."""
    if x.dim() != 2 or not LEAST_SIZES[type(kind)] <= kind[0] <= MOST:
        raise ValueError(f"kernels: expected (blocks, numbers) and at most {MOST} bins or components, got {tuple(x.shape)} and {kind}")
    blocks, numbers = x.shape
    expected = blocks, kind.params, numbers
    if h.shape[0] not in (1, blocks) or h.shape[1:] != expected[1:] or h.dtype is not x.dtype or not h[:1].is_contiguous():
        got = f"{tuple(h.shape)} of {h.dtype} with strides {h.stride()}"
        raise ValueError(f"kernels: expected parameters {expected} of {x.dtype} in contiguous blocks, got {got}")
    h_block = 0 if h.shape[0] == 1 else h.stride(0)
    return {**kind._asdict(), "inverse": inverse, "blocks": blocks, "numbers": numbers, "h_block": h_block, "h": h.data_ptr()}
