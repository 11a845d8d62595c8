"""The kernels as operators of torch, which torch.compile leaves whole; eager code calls the functions, which cost less to call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .made import Plan, ScalarMap, made, made_gradient
from .spline import spline, spline_gradient

spline_operator = torch.library.custom_op("pushforward::spline", spline, mutates_args=())
spline_gradient_operator = torch.library.custom_op("pushforward::spline_gradient", spline_gradient, mutates_args=())


@spline_operator.register_fake
def _(y, h, bins, bound, floor, inverse):
    return torch.empty_like(y), torch.empty_like(y)


@spline_gradient_operator.register_fake
def _(y, h, g_out, g_slope, bins, bound, floor, inverse):
    return torch.empty_like(y), y.new_empty(y.shape[0], h.shape[1], y.shape[1])


@torch.library.custom_op("pushforward::made", mutates_args=())
def made_flat(
    bins: int,
    bound: float,
    floor: float,
    order: list[int],
    ends: list[int],
    residual: bool,
    inverse: bool,
    x: Tensor,
    context: Tensor | None,
    weights: list[Tensor],
) -> tuple[Tensor, Tensor]:
    return made(Plan(ScalarMap(bins, bound, floor), tuple(order), tuple(ends), residual), inverse, x, context, weights)


@torch.library.custom_op("pushforward::made_gradient", mutates_args=())
def made_gradient_flat(
    bins: int,
    bound: float,
    floor: float,
    order: list[int],
    ends: list[int],
    residual: bool,
    x: Tensor,
    context: Tensor | None,
    weights: list[Tensor],
    g_out: Tensor,
    g_ldj: Tensor,
) -> list[Tensor]:
    plan = Plan(ScalarMap(bins, bound, floor), tuple(order), tuple(ends), residual)
    g_x, g_context, g_weights = made_gradient(plan, x, context, weights, g_out.contiguous(), g_ldj.contiguous())
    return [g_x, *([] if g_context is None else [g_context]), *g_weights]


@made_flat.register_fake
def _(bins, bound, floor, order, ends, residual, inverse, x, context, weights):
    return torch.empty_like(x), x.new_empty(x.shape[1])


@made_gradient_flat.register_fake
def _(bins, bound, floor, order, ends, residual, x, context, weights, g_out, g_ldj):
    return [torch.empty_like(t) for t in (x, *([] if context is None else [context]), *weights)]


def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *ctx.plan, _inverse, x, context, weights = inputs
    ctx.given = context is not None
    ctx.save_for_backward(x, *([context] if ctx.given else []), *weights)


def backward(ctx: Any, g_out: Tensor, g_ldj: Tensor) -> tuple[Any, ...]:
    x, *weights = ctx.saved_tensors
    context = weights.pop(0) if ctx.given else None
    g_x, *g_weights = made_gradient_flat(*ctx.plan, x, context, weights, g_out, g_ldj)
    return *(None for _ in range(7)), g_x, g_weights.pop(0) if ctx.given else None, g_weights


made_flat.register_autograd(backward, setup_context=keep)


def made_operator(plan: Plan, inverse: bool, x: Tensor, context: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """:func:`~.made.made`, with its gradient where it goes from data to latent."""
    return made_flat(*plan.scalar_map, list(plan.order), list(plan.ends), plan.residual, inverse, x, context, weights)
