"""Flows of nflows (github.com/bayesiains/nflows): masked autoregressive and coupling layers, linear layers, permutations, normalization."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Chain, Flow, Inverse, Transform
from ..distributions import Normal
from ..nets import ResidualMLP
from ..transforms import Columns, LULinear, Permute, Standardize
from ..univariate import Additive, FloorAffine, SoftplusSpline, Univariate
from .masked import FromContext, MaskedRows, masked_net
from .reading import activation_of, by_parameter, causal_layer, constants, coupling_layer, fill, matched, name_in, refuse, scaled, word

_name_of = functools.partial(name_in, "nflows")


def from_nflows(model: Any) -> Flow:
    """The flow, given embedded contexts; ``model`` is a ``nflows.flows.Flow``."""
    shape, last = _base_of(model._distribution)
    widths: set[int] = set()
    layers = [*_read(model._transform, widths), *last]
    flow = Flow(Normal(shape), *layers, context=max(widths, default=0))
    return matched(flow, next((t for t in [*model.parameters(), *model._transform.buffers()] if t.is_floating_point()), torch.empty(0)))


def _base_of(base: Any) -> tuple[tuple[int, ...], list[Transform]]:
    """The shape of a row, and the layer that makes the base a standard normal."""
    match _name_of(base):
        case "StandardNormal":
            return tuple(base._shape), []
        case "DiagonalNormal":
            mean, log_std = base.mean_.detach().flatten(), base.log_std_.detach().flatten()
            return tuple(base._shape), [scaled(-log_std, -mean * (-log_std).exp())]
    return refuse(f"the base of the flow is {word(base)}", "give it a StandardNormal or DiagonalNormal as base")


def _read(part: Any, widths: set[int]) -> list[Transform]:
    """The layers of a transform; ``widths`` collects those of contexts."""
    match _name_of(part):
        case "CompositeTransform":
            return [layer for inner in part._transforms for layer in _read(inner, widths)]
        case "InverseTransform":
            return [Inverse(Chain(*_read(part._transform, widths)))]
        case "IdentityTransform":
            return []
        case "Permutation" | "RandomPermutation" | "ReversePermutation" if part._dim == 1:
            return [Permute(part._permutation.tolist())]
        case "LULinear":
            return [_lu_linear(part)]
        case "BatchNorm":
            log_scale = part.weight.detach().log() - 0.5 * (part.running_var + part.eps).log()
            return [scaled(log_scale, part.bias.detach() - part.running_mean * log_scale.exp())]
        case "ActNorm":
            return [scaled(part.log_scale.detach(), part.shift.detach())]
        case "PointwiseAffineTransform" | "AffineTransform":
            scale, shift = torch.broadcast_tensors(part._scale, part._shift)
            return [Standardize(-shift.double() / scale.double(), 1 / scale.double())]
        case "MaskedAffineAutoregressiveTransform":
            return [_masked(part, FloorAffine("softplus", part._epsilon), [1, 0], widths)]
        case "MaskedPiecewiseRationalQuadraticAutoregressiveTransform":
            curve = _spline(part, part.num_bins)
            return [_masked(part, curve, range(curve.params), widths)]
        case "AffineCouplingTransform":
            return _halves(part, FloorAffine("sigmoid", 1e-3), widths)
        case "AdditiveCouplingTransform":
            return _halves(part, Additive(), widths)
        case "PiecewiseRationalQuadraticCouplingTransform":
            return _halves(part, _spline(part, part.num_bins), widths)
        case "PiecewiseRationalQuadraticCDF":
            h = torch.cat([part.unnormalized_widths, part.unnormalized_heights, part.unnormalized_derivatives], -1).detach()
            return [constants(_spline(part, part.unnormalized_widths.shape[-1]), h.movedim(-1, 0))]
    return refuse(
        f"{word(part)} has no counterpart here",
        "build the flow of masked or coupling layers that are affine or rational-quadratic, LULinear, BatchNorm and permutations",
    )


def _spline(part: Any, bins: int) -> SoftplusSpline:
    if part.tails != "linear":
        refuse(f"the spline of {word(part)} has no tails", "build it with tails='linear'")
    return SoftplusSpline(bins, part.tail_bound, part.min_bin_width, part.min_bin_height, part.min_derivative)


@torch.no_grad()
def _lu_linear(part: Any) -> Transform:
    lower, upper = part._create_lower_upper()
    layer = matched(LULinear(part.features), part.bias)
    layer.weight.copy_(lower.tril(-1) + upper.triu(1) + upper.diagonal().log().diag())
    layer.bias.copy_(part.bias)
    return layer


@torch.no_grad()
def _masked(part: Any, curve: Univariate, order: Sequence[int], widths: set[int]) -> Transform:
    """A layer over a MADE; ``order`` has theirs of a feature's parameters in our order.

    Their residual blocks add ``V_k c`` to the units within them, where ours have no context: it reaches them by way of 2 K units more,
    ``relu(c)`` and ``relu(-c)``, which no block changes.
    """
    net = part.autoregressive_net
    residual = net.use_residual_blocks
    activation = _activation(net.activation, net.blocks, word(part))
    layers = [_numbers(net.initial_layer)]
    for block in net.blocks:
        layers += [_numbers(layer) for layer in (block.linear_layers if residual else [block.linear])]
    weight, mask, bias = _numbers(net.final_layer)
    last = MaskedRows(_rows(weight, curve, order, net), by_parameter(mask, order), _rows(bias, curve, order, net))
    given = None
    if "context_layer" in dict(net.named_children()):
        given = FromContext(net.context_layer.weight, net.context_layer.bias, activation)
        widths.add(given.weight.shape[1])
        if residual:
            if type(activation) is not nn.ReLU:
                refuse(
                    f"residual blocks of {word(part)} read a context through {word(activation)}", "build it with torch.nn.functional.relu"
                )
            given, layers, last = _with_context_units(given, layers, last, [block.context_layer for block in net.blocks])
    made = masked_net(word(part), [*layers, last], given, activation=activation, residual=residual, linear_end=residual)
    return causal_layer(curve, made)


def _rows(rows: Tensor, curve: Univariate, order: Sequence[int], net: Any) -> Tensor:
    """Those of a last layer by parameter, then feature. Splines divide their logits by the root of the width, of nets that tell it."""
    rows = by_parameter(rows, order)
    if isinstance(curve, SoftplusSpline) and "hidden_features" in vars(net):
        logits = 2 * curve.bins * len(rows) // curve.params
        rows = torch.cat([rows[:logits] / net.hidden_features**0.5, rows[logits:]])
    return rows


def _numbers(layer: Any) -> MaskedRows:
    return MaskedRows(layer.weight, layer.mask.bool(), layer.bias)


def _with_context_units(
    given: FromContext, layers: list[MaskedRows], last: MaskedRows, contexts: list[nn.Linear]
) -> tuple[FromContext, list[MaskedRows], MaskedRows]:
    """The net with 2 K units more in its stream, which hold both parts of the context for the blocks."""
    width, more = given.weight.shape[0], 2 * given.weight.shape[1]
    eye = torch.eye(more // 2).to(given.weight)
    assert given.bias is not None
    given = FromContext(torch.cat([given.weight, eye, -eye]), F.pad(given.bias, (0, more)), given.activation)
    first, *blocks = layers
    out = [_with_rows(first, more)]
    for inner, outer, context in zip(blocks[::2], blocks[1::2], contexts, strict=True):
        seen = torch.ones(width, more, dtype=torch.bool, device=inner.mask.device)
        sums = torch.cat([inner.weight, context.weight, -context.weight], 1)
        out.append(MaskedRows(sums, torch.cat([inner.mask, seen], 1), inner.bias + context.bias))
        out.append(_with_rows(outer, more))
    return given, out, MaskedRows(F.pad(last.weight, (0, more)), F.pad(last.mask, (0, more)), last.bias)


def _with_rows(layer: MaskedRows, more: int) -> MaskedRows:
    """The layer with so many units more, of zeros."""
    below = (0, 0, 0, more)
    return MaskedRows(F.pad(layer.weight, below), F.pad(layer.mask, below), F.pad(layer.bias, (0, more)))


@torch.no_grad()
def _halves(part: Any, curve: Univariate, widths: set[int]) -> list[Transform]:
    """A coupling over a residual net; what it keeps may then go through a map of its own."""
    net = part.transform_net
    if _name_of(net) != "ResidualNet":
        refuse(f"the net of {word(part)} is {word(net)}", "let transform_net_create_fn make a nflows.nn.nets.ResidualNet")
    activation = _activation(net.blocks[0].activation if len(net.blocks) else F.relu, net.blocks, word(part))
    context, blocks = net.context_features or 0, list(net.blocks)
    widths.add(context)
    kept = torch.zeros(part.features, dtype=torch.bool)
    kept[part.identity_features.cpu()] = True
    first, last = net.initial_layer, net.final_layer
    size = {"width": first.out_features, "depth": len(blocks), "gate": context}
    ours = ResidualMLP(first.in_features, last.out_features, activation=activation, linear_end=True, **size)
    matched(ours, first.weight)
    fill(ours.first, first.weight, first.bias)
    for i, block in enumerate(blocks):
        inner, outer = block.linear_layers
        fill(ours.inner[i], inner.weight, inner.bias)
        fill(ours.outer[i], outer.weight, outer.bias)
        if context:
            fill(ours.gates[i], block.context_layer.weight, block.context_layer.bias)
    weight, bias = last.weight, last.bias
    if isinstance(curve, SoftplusSpline):  # by feature; of the other maps by parameter already
        weight, bias = (_rows(rows, curve, range(curve.params), net) for rows in (weight, bias))
    fill(ours.last, weight, bias)
    layers = [coupling_layer(kept, curve, ours, ours.last)]
    if part.unconditional_transform is not None:
        layers += [Columns((part.identity_features.tolist(), layer)) for layer in _read(part.unconditional_transform, widths)]
    return layers


def _activation(activation: Any, blocks: nn.ModuleList, where: str) -> nn.Module:
    """That of a net, which holds no more than linear layers and dropout else; the latter is without effect in evaluation."""
    if any(isinstance(module, nn.BatchNorm1d) for module in blocks.modules()):
        refuse(f"a net of {where} has batch norm", "build it with use_batch_norm=False, the default")
    return activation_of(activation, f"a net of {where}")
