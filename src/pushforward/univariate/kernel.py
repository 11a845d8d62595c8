"""Rational-quadratic splines through the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import kernels
from .layout import Layout


class Kernel(torch.autograd.Function):
    """The whole spline, tails and gradient included, without intermediate tensors: what :class:`Fused` computes, in C.

    Takes x ``(B, C, *rest)`` and h ``(B or 1, params, C, *rest)`` in any layout, and keeps nothing else for the gradient.
    ``plain`` is the same by PyTorch, for gradients of many vectors at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plain: Callable[..., tuple[Tensor, Tensor]],
        x: Tensor,
        h: Tensor,
        bins: int,
        bound: float,
        floor: float,
        inverse: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.plain, ctx.options = plain, (bins, bound, floor, inverse)
        ctx.save_for_backward(x, h)
        layout = Layout(x, h)
        spline = kernels.spline_operator if torch.compiler.is_compiling() else kernels.spline
        out, slope = spline(layout.rows(x), layout.parameters(h), *ctx.options)
        return layout.shaped(out), layout.shaped(slope)

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Any, ...]:
        x, h = ctx.saved_tensors
        options = (None, None, None, None)
        if kernels.special(g_out, g_slope):
            if torch.is_grad_enabled():  # once_differentiable would drop second derivatives without a word
                raise RuntimeError("RationalQuadratic: expected one derivative, got create_graph=True; make the spline with fused=False")
            return None, *kernels.again(ctx.plain, (x, h), ctx.needs_input_grad[1:3], (g_out, g_slope)), *options
        layout = Layout(x, h)
        gradient = kernels.spline_gradient_operator if torch.compiler.is_compiling() else kernels.spline_gradient
        g_x, g_h = gradient(layout.rows(x), layout.parameters(h), layout.rows(g_out), layout.rows(g_slope), *ctx.options)
        return None, layout.shaped(g_x), layout.gathered(g_h), *options
