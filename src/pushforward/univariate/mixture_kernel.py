"""Mixture distribution functions through the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import kernels
from .layout import Layout

Plain = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def forward(kind: kernels.Mixture, plain: Plain, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """``plain(x, h)``, by the kernel where that can be."""
    return Forward.apply(kind, plain, x, h) if usable(kind, x, h) else plain(x, h)


def inverse(kind: kernels.Mixture, plain: Plain, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The same for the inverse; z of a distribution function must be inside (0, 1)."""
    return Inverse.apply(kind, plain, z, h) if usable(kind, z, h) else plain(z, h)


def usable(kind: kernels.Mixture, x: Tensor, h: Tensor) -> bool:
    """Under torch.compile the plain path is fused by the compiler."""
    if (
        torch.compiler.is_compiling()
        or kind.components > kernels.MOST_COMPONENTS
        or h.shape[0] not in (1, x.shape[0])
        or h.shape[1] != 3 * kind.components
        or not x.numel()
    ):
        return False
    return kernels.ready(x, h)


class Forward(torch.autograd.Function):
    """``(z, log dz/dx)`` of x ``(B, C, *rest)`` and h ``(B or 1, 3 components, C, *rest)`` in any layout; only those two are kept.

    ``plain`` is the same by PyTorch, for gradients that are differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, kind: kernels.Mixture, plain: Plain, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        ctx.kind, ctx.plain = kind, plain
        ctx.save_for_backward(x, h)
        layout = Layout(x, h)
        out, slope = kernels.mixture(layout.rows(x), layout.parameters(h), kind)
        return layout.shaped(out), layout.shaped(slope)

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Any, ...]:
        x, h = ctx.saved_tensors
        if kernels.special(g_out, g_slope):
            return None, None, *kernels.again(ctx.plain, (x, h), ctx.needs_input_grad[2:], (g_out, g_slope))
        layout = Layout(x, h)
        given = layout.rows(x), layout.parameters(h), layout.rows(g_out), layout.rows(g_slope)
        g_x, g_h = kernels.mixture_gradient(*given, ctx.kind, False)
        return None, None, layout.shaped(g_x), layout.gathered(g_h)


class Inverse(torch.autograd.Function):
    """``(x, log dx/dz)`` with gradients by the implicit function theorem; z of a distribution function alone must be inside (0, 1)."""

    @staticmethod
    def forward(ctx: Any, kind: kernels.Mixture, plain: Plain, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        ctx.kind, ctx.plain = kind, plain
        layout = Layout(z, h)
        y = layout.rows(z)
        x, slope = (layout.shaped(t) for t in kernels.mixture_inverse(*scales(y, kind), layout.parameters(h), kind))
        ctx.save_for_backward(z, h, x)
        return x, slope

    @staticmethod
    def backward(ctx: Any, g_x: Tensor, g_slope: Tensor) -> tuple[Any, ...]:
        z, h, x = ctx.saved_tensors
        if kernels.special(g_x, g_slope):
            return None, None, *kernels.again(ctx.plain, (z, h), ctx.needs_input_grad[2:], (g_x, g_slope))
        layout = Layout(x, h)
        given = layout.rows(x), layout.parameters(h), layout.rows(g_x), layout.rows(g_slope)
        g_z, g_h = kernels.mixture_gradient(*given, ctx.kind, True)
        return None, None, layout.shaped(g_z), layout.gathered(g_h)


def scales(z: Tensor, kind: kernels.Mixture) -> tuple[Tensor, Tensor]:
    """The logit of the distribution function's value, and the quantile that one standard component has there."""
    if not kind.quantile:
        logit = torch.logit(z)
        return logit, torch.special.ndtri(z) if kind.gaussian else logit
    return torch.special.log_ndtr(z) - torch.special.log_ndtr(-z) if kind.gaussian else z, z
