"""Rational-quadratic splines through the compiled kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import kernels


class Kernel(torch.autograd.Function):
    """The whole spline, tails and gradient included, without intermediate tensors: what :class:`Fused` computes, in C.

    Takes x ``(B, C, *rest)`` and h ``(B or 1, params, C, *rest)`` in any layout; where the batch is innermost in memory it stays so.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, bins: int, bound: float, floor: float, inverse: bool) -> tuple[Tensor, Tensor]:
        ctx.options = bins, bound, floor, inverse
        ctx.innermost, ctx.shapes = innermost(h), (x.shape, h.shape)
        y, h = rows(x, ctx.innermost), parameters(h, x, ctx.innermost)
        ctx.save_for_backward(y, h)
        spline = kernels.spline_operator if torch.compiler.is_compiling() else kernels.spline
        out, slope = spline(y, h, *ctx.options)
        return shaped(out, x.shape, ctx.innermost), shaped(slope, x.shape, ctx.innermost)

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Tensor | None, ...]:
        compiling = torch.compiler.is_compiling()
        if torch.is_grad_enabled() and not compiling:  # once_differentiable would drop second derivatives without a word
            raise RuntimeError("RationalQuadratic: expected one derivative, got create_graph=True; make the spline with fused=False")
        y, h = ctx.saved_tensors
        gradient = kernels.spline_gradient_operator if compiling else kernels.spline_gradient
        g_y, g_h = gradient(y, h, rows(g_out, ctx.innermost), rows(g_slope, ctx.innermost), *ctx.options)
        x_shape, h_shape = ctx.shapes
        if ctx.innermost:
            g_h = g_h.view(h_shape[1], -1, x_shape[0]).permute(2, 0, 1)
        else:
            g_h = g_h.view(x_shape[0], h_shape[1], *x_shape[1:]).sum_to_size(h_shape)
        return shaped(g_y, x_shape, ctx.innermost), g_h, None, None, None, None


def innermost(h: Tensor) -> bool:
    """Whether parameters ``(B, params, C)`` lie as ``(params, C, B)`` in memory."""
    return h.dim() == 3 and h.shape[0] > 1 and h.permute(1, 2, 0).is_contiguous()


def rows(x: Tensor, innermost: bool) -> Tensor:
    """Blocks of numbers: one of all numbers if the batch is innermost, else one for each row of the batch."""
    return (x.t().reshape(1, -1) if innermost else x.reshape(x.shape[0], -1)).contiguous()


def parameters(h: Tensor, x: Tensor, innermost: bool) -> Tensor:
    if innermost:
        return h.permute(1, 2, 0).reshape(1, h.shape[1], -1)  # a view
    return h.expand(-1, -1, *x.shape[1:]).reshape(h.shape[0], h.shape[1], -1).contiguous()


def shaped(y: Tensor, shape: torch.Size, innermost: bool) -> Tensor:
    return y.view(shape[1], shape[0]).t() if innermost else y.view(shape)
