"""The kernels as operators of torch, which torch.compile leaves whole; eager code calls the functions, which cost less to call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import elementwise
from .elementwise import Spline
from .masked_layer import AffineMap, MaskedLayer, MaskedLayout
from .run import differentiate, evaluate

LIBRARY = torch.library.Library("pushforward", "DEF")  # not custom_op: its checks of each call cost more than a call
SPLINE = "int bins, float bound, float floor, bool inverse) -> (Tensor, Tensor)"
LAYER = "int bins, float bound, float floor, int[] order, int[] ends, bool residual, int kept"
LIBRARY.define(f"spline(Tensor x, Tensor h, {SPLINE}")
LIBRARY.define(f"spline_gradient(Tensor x, Tensor h, Tensor g_out, Tensor g_slope, {SPLINE}")
LIBRARY.define(f"masked({LAYER}, bool inverse, Tensor x, Tensor? given, Tensor[] weights) -> (Tensor, Tensor)")
LIBRARY.define(f"masked_gradient({LAYER}, Tensor x, Tensor? given, Tensor[] weights, Tensor g_out, Tensor g_ldj) -> Tensor[]")


@torch.library.impl(LIBRARY, "spline", "CPU")
def _(x, h, *kind_and_inverse):
    *kind, inverse = kind_and_inverse
    return elementwise.evaluate_numbers("spline", Spline(*kind), inverse, x.contiguous(), h.contiguous())


@torch.library.impl(LIBRARY, "spline_gradient", "CPU")
def _(x, h, g_out, g_slope, *kind_and_inverse):
    *kind, inverse = kind_and_inverse
    x, h, g_out, g_slope = (t.contiguous() for t in (x, h, g_out, g_slope))
    return elementwise.differentiate_numbers("spline", Spline(*kind), inverse, x, h, g_out, g_slope)


def layer_of(options: list[Any], x: Tensor, given: Tensor | None, weights: list[Tensor]) -> MaskedLayer:
    bins, bound, floor, order, ends, residual, kept = options
    kind = Spline(bins, bound, floor) if bins else AffineMap(bound)
    layer = MaskedLayer(kind, MaskedLayout(tuple(order), tuple(ends), residual, kept))
    if not x.shape[1] or not layer.fits(x.shape[1], len(x), given, *weights):
        raise ValueError(
            f"kernels: these do not belong together: x {tuple(x.shape)}, weights {[tuple(t.shape) for t in weights]}, {layer.net}"
        )
    return layer


@torch.library.impl(LIBRARY, "masked", "CPU")
def _(*arguments):
    *options, inverse, x, given, weights = arguments
    return evaluate([layer_of(options, x, given, weights)], inverse, x.contiguous(), [[given, *weights]], keep=False)[:2]


@torch.library.impl(LIBRARY, "masked_gradient", "CPU")
def _(*arguments):
    *options, x, given, weights, g_out, g_ldj = arguments
    layers = [layer_of(options, x, given, weights)]
    g_x, (g_given, *g_weights) = differentiate(layers, x.contiguous(), [None], [[given, *weights]], g_out, g_ldj)
    return [g_x, *([] if g_given is None else [g_given.contiguous()]), *g_weights]


@torch.library.register_fake("pushforward::spline", lib=LIBRARY)
def _(x, h, *options):
    return torch.empty_like(x), torch.empty_like(x)


@torch.library.register_fake("pushforward::spline_gradient", lib=LIBRARY)
def _(x, h, g_out, g_slope, *options):
    return torch.empty_like(x), x.new_empty(x.shape[0], h.shape[1], x.shape[1])


@torch.library.register_fake("pushforward::masked", lib=LIBRARY)
def _(bins, bound, floor, order, ends, residual, kept, inverse, x, given, weights):
    return torch.empty_like(x), x.new_empty(x.shape[1])


@torch.library.register_fake("pushforward::masked_gradient", lib=LIBRARY)
def _(bins, bound, floor, order, ends, residual, kept, x, given, weights, g_out, g_ldj):
    return [t.new_empty(t.shape) for t in (x, *([] if given is None else [given]), *weights)]


def keep_numbers(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, h, *ctx.options = inputs
    ctx.save_for_backward(x, h)


def spline_backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Any, ...]:
    g_x, g_h = torch.ops.pushforward.spline_gradient(*ctx.saved_tensors, g_out, g_slope, *ctx.options)
    return g_x, g_h.sum_to_size(ctx.saved_tensors[1].shape), None, None, None, None


def keep_layer(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *ctx.layer, _inverse, x, given, weights = inputs
    ctx.given = given is not None
    ctx.save_for_backward(x, *([given] if ctx.given else []), *weights)


def masked_backward(ctx: Any, g_out: Tensor, g_ldj: Tensor) -> tuple[Any, ...]:
    x, *weights = ctx.saved_tensors
    given = weights.pop(0) if ctx.given else None
    g_x, *g_weights = torch.ops.pushforward.masked_gradient(*ctx.layer, x, given, weights, g_out, g_ldj)
    return *(None for _ in range(8)), g_x, g_weights.pop(0) if ctx.given else None, g_weights


torch.library.register_autograd("pushforward::spline", spline_backward, setup_context=keep_numbers, lib=LIBRARY)
torch.library.register_autograd("pushforward::masked", masked_backward, setup_context=keep_layer, lib=LIBRARY)
