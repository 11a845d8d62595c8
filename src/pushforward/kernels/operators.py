"""The kernels as operators of torch, which torch.compile leaves whole; eager code calls the functions, which cost less to call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .made import Plan, ScalarMap, made, made_gradient
from .spline import spline, spline_gradient

LIBRARY = torch.library.Library("pushforward", "DEF")  # not custom_op: its checks of each call cost more than a call
SPLINE = "int bins, float bound, float floor, bool inverse) -> (Tensor, Tensor)"
PLAN = "int bins, float bound, float floor, int[] order, int[] ends, bool residual"
LIBRARY.define(f"spline(Tensor y, Tensor h, {SPLINE}")
LIBRARY.define(f"spline_gradient(Tensor y, Tensor h, Tensor g_out, Tensor g_slope, {SPLINE}")
LIBRARY.define(f"made({PLAN}, bool inverse, Tensor x, Tensor? context, Tensor[] weights) -> (Tensor, Tensor)")
LIBRARY.define(f"made_gradient({PLAN}, Tensor x, Tensor? context, Tensor[] weights, Tensor g_out, Tensor g_ldj) -> Tensor[]")
spline_operator, spline_gradient_operator = torch.ops.pushforward.spline.default, torch.ops.pushforward.spline_gradient.default

LIBRARY.impl("spline", spline, "CPU")
LIBRARY.impl("spline_gradient", spline_gradient, "CPU")


def plan_of(bins: int, bound: float, floor: float, order: list[int], ends: list[int], residual: bool) -> Plan:
    return Plan(ScalarMap(bins, bound, floor), tuple(order), tuple(ends), residual)


@torch.library.impl(LIBRARY, "made", "CPU")
def _(*arguments):
    *plan, inverse, x, context, weights = arguments
    return made(plan_of(*plan), inverse, x, context, weights)


@torch.library.impl(LIBRARY, "made_gradient", "CPU")
def _(*arguments):
    *plan, x, context, weights, g_out, g_ldj = arguments
    g_x, g_context, g_weights = made_gradient(plan_of(*plan), x, context, weights, g_out.contiguous(), g_ldj.contiguous())
    return [g_x, *([] if g_context is None else [g_context]), *g_weights]


@torch.library.register_fake("pushforward::spline", lib=LIBRARY)
def _(y, h, bins, bound, floor, inverse):
    return torch.empty_like(y), torch.empty_like(y)


@torch.library.register_fake("pushforward::spline_gradient", lib=LIBRARY)
def _(y, h, g_out, g_slope, bins, bound, floor, inverse):
    return torch.empty_like(y), y.new_empty(y.shape[0], h.shape[1], y.shape[1])


@torch.library.register_fake("pushforward::made", lib=LIBRARY)
def _(bins, bound, floor, order, ends, residual, inverse, x, context, weights):
    return torch.empty_like(x), x.new_empty(x.shape[1])


@torch.library.register_fake("pushforward::made_gradient", lib=LIBRARY)
def _(bins, bound, floor, order, ends, residual, x, context, weights, g_out, g_ldj):
    return [torch.empty_like(t) for t in (x, *([] if context is None else [context]), *weights)]


def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *ctx.plan, _inverse, x, context, weights = inputs
    ctx.given = context is not None
    ctx.save_for_backward(x, *([context] if ctx.given else []), *weights)


def backward(ctx: Any, g_out: Tensor, g_ldj: Tensor) -> tuple[Any, ...]:
    x, *weights = ctx.saved_tensors
    context = weights.pop(0) if ctx.given else None
    g_x, *g_weights = torch.ops.pushforward.made_gradient(*ctx.plan, x, context, weights, g_out, g_ldj)
    return *(None for _ in range(7)), g_x, g_weights.pop(0) if ctx.given else None, g_weights


torch.library.register_autograd("pushforward::made", backward, setup_context=keep, lib=LIBRARY)


def made_operator(plan: Plan, inverse: bool, x: Tensor, context: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """:func:`~.made.made`, with its gradient where it goes from data to latent."""
    return torch.ops.pushforward.made(*plan.scalar_map, list(plan.order), list(plan.ends), plan.residual, inverse, x, context, weights)
