"""Rational-quadratic splines with their gradient written out, for speed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .rational import TILT, Pieces, evaluate, inner_knots


class Fused(torch.autograd.Function):
    """:func:`evaluate` with an analytic gradient in place of the recorded one; differentiable once.

    With f the map of one bin onto another, both directions follow from ``dz = f_t dt + f_a da + f_b db``, the inverse by
    the implicit function theorem; knots and sizes then share one way back to h.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, h: Tensor, bins: int, bound: float, floor: float, inverse: bool) -> tuple[Tensor, Tensor]:
        out, slope, pieces = evaluate(y, h, bins, bound, floor, inverse)
        ctx.save_for_backward(*pieces)
        ctx.options = bins, bound, floor, inverse, h.shape
        return out, slope

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Tensor | None, ...]:
        # once_differentiable would drop the second derivatives without a word where g_out is a constant
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise RuntimeError("RationalQuadratic: expected one derivative, got create_graph=True; make the spline with fused=False")
        bins, bound, floor, inverse, shape = ctx.options
        p = Pieces(*ctx.saved_tensors)
        a, b = p.ends.unbind(1)
        width, height = p.size[:, :, 1].unbind(1)
        t, s = p.t, 1 - p.t
        q = t * s
        bottom = 1 + (a + b - 2) * q
        top = b * t.square() + 2 * q + a * s.square()
        value = (t.square() + a * q) / bottom
        # derivatives of the piece f and of its log derivative l
        f_t = top / bottom.square()
        f_a, f_b = q * (1 - value) / bottom, -q * value / bottom
        l_t = 2 * (b * t + (s - t) - a * s) / top - 2 * (a + b - 2) * (s - t) / bottom
        l_a, l_b = s.square() / top - 2 * q / bottom, t.square() / top - 2 * q / bottom
        if inverse:
            g_t = g_out * width - g_slope * l_t
            g_f = -g_t / f_t
            g_y = -g_f / height
            g_left = torch.stack([g_out, -g_y], 1)
            g_width = g_out * t + g_slope / width
            g_height = -(g_y * value + g_slope / height)
            g_ends = torch.stack([g_f * f_a - g_slope * l_a, g_f * f_b - g_slope * l_b], 1)
        else:
            g_f = g_out * height
            g_t = g_f * f_t + g_slope * l_t
            g_y = g_t / width
            g_left = torch.stack([-g_y, g_out], 1)
            g_width = -(g_y * t + g_slope / width)
            g_height = g_out * value + g_slope / height
            g_ends = torch.stack([g_f * f_a + g_slope * l_a, g_f * f_b + g_slope * l_b], 1)

        g_log = g_ends * p.ends  # with respect to the logarithm of the end derivatives
        g_mean = g_log * (1 - 0.5 * p.mean)
        both = torch.where(p.edge, g_log, g_mean).sum(1)
        g_mean = torch.where(p.edge, 0.0, g_mean)
        g_own = torch.stack([g_width + both / width, g_height - both / height], 1)
        g_near = torch.stack([-g_mean, g_mean], 1) / p.size[:, :, ::2]
        g_size = torch.stack([g_near[:, :, 0], g_own, g_near[:, :, 1]], 2)

        # Back through the softmax. A bin's left end moves with all the sizes before it, so the gradient of size j is g_left
        # where j < k, plus g_size at the bin and its neighbours; its mean under the softmax needs those alone.
        least = 2 * bound * floor
        mean = g_left * (p.left + bound - least * p.k.to(t.dtype)) + (g_size * (p.size - least)).sum(2)
        g_left, g_size = (2 * bound * (1 - bins * floor)) * g_left, (2 * bound * (1 - bins * floor)) * g_size
        g_share = torch.addcmul(-mean.unsqueeze(2), p.passed.unsqueeze(1), g_left.unsqueeze(2))
        near = torch.cat([p.k - 1, p.k, p.k + 1], 1).clamp(0, bins - 1)
        g_share = g_share.scatter_add(2, near.unsqueeze(1).expand(-1, 2, -1, *t.shape[1:]), g_size)
        g_logits = g_share.sum_to_size(p.share.shape) * p.share
        g_logits = g_logits.reshape(g_logits.shape[0], 2 * bins, *g_logits.shape[3:])

        gate = p.gate
        g_gate = g_log * ((TILT**2 - 1) * gate * (1 - gate) / ((1 + (TILT - 1) * gate) * (TILT - (TILT - 1) * gate)))
        g_gate = torch.where(p.edge, 0.0, g_gate)
        g_gate = gate.new_zeros(t.shape[0], bins - 1, *t.shape[1:]).scatter_add(1, inner_knots(p.k, bins)[0], g_gate)
        return g_y, torch.cat([g_logits, g_gate.sum_to_size(shape[0], bins - 1, *shape[2:])], 1), None, None, None, None
