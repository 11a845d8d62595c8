"""A masked net and a scalar map as one operation, through the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import kernels


class ScalarMap(Protocol):
    """What is asked of a scalar map: its name among the kernel's, and the map itself."""

    identity: tuple[float, ...]

    @property
    def scalar_map(self) -> kernels.ScalarMap: ...

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]: ...


class OnePass(torch.autograd.Function):
    """``z, ldj`` of an autoregressive layer, x ``(B, D)``; nothing but x and weights is kept for the gradient.

    ``plain`` is the same by PyTorch, for gradients that are differentiated again. Where the batch is innermost in memory it stays so.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: kernels.Plan, plain: Callable[..., tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.plan, ctx.plain = plan, plain
        ctx.save_for_backward(x, context, *weights)
        out, ldj = kernels.made(plan, False, columns(x), None if context is None else columns(context), weights)
        return out.t(), ldj

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_ldj: Tensor) -> tuple[Any, ...]:
        x, context, *weights = ctx.saved_tensors
        if kernels.special(g_out, g_ldj):
            return None, None, *kernels.again(ctx.plain, (x, context, *weights), ctx.needs_input_grad[2:], (g_out, g_ldj))
        given = None if context is None else columns(context)
        g_x, g_context, g_weights = kernels.made_gradient(ctx.plan, columns(x), given, weights, columns(g_out), g_ldj.contiguous())
        return None, None, g_x.t(), None if g_context is None else g_context.t(), *g_weights


def columns(x: Tensor) -> Tensor:
    """``(B, D) -> (D, B)``, contiguous."""
    return x.t().contiguous()
