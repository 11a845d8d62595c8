"""Flows of zuko (github.com/probabilists/zuko): MAF, NSF, NICE, RealNVP, and what is built of the same layers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Chain, Flow, Inverse, Transform
from ..distributions import Normal
from ..transforms import Orthogonal, Permute, Standardize
from ..univariate import Additive, FloorAffine, SoftclipSpline, Univariate
from .masked import FromContext, MaskedRows, masked_net
from .reading import activation_of, by_parameter, causal_layer, constants, coupling_layer, matched, name_in, refuse, scaled, sequence, word

_TRAINED = "build it of MAF, NSF, NICE or RealNVP"
_name_of = functools.partial(name_in, "zuko")


def from_zuko(model: Any) -> Flow:
    """The flow; ``model`` is a ``zuko.lazy.Flow``."""
    mean, std, learnt = _gaussian(model.base)
    widths: set[int] = set()
    layers = _read(model.transform, mean, widths)
    if learnt or mean.any() or (std != 1).any():
        layers.append(scaled(-std.log(), -mean / std))
    return matched(Flow(Normal(mean.shape), *layers, context=max(widths, default=0)), mean)


def _gaussian(base: Any) -> tuple[Tensor, Tensor, bool]:
    """Mean and deviation of the base, and whether they are learnt."""
    if _name_of(base) not in ("UnconditionalDistribution", "Unconditional") or _name_of(distribution := base()) != "DiagNormal":
        refuse(f"the base of the flow is {word(getattr(base, 'f', base))}", "give it a DiagNormal as base")
    normal = distribution.base_dist
    return normal.loc.detach(), normal.scale.detach(), bool(list(base.parameters()))


def _read(part: Any, at: Tensor, widths: set[int]) -> list[Transform]:
    """The layers of a lazy transform; ``at`` has the shape, dtype and device of a row, and ``widths`` collects those of contexts."""
    match _name_of(part):
        case "LazyComposedTransform":
            return [layer for inner in part.transforms for layer in _read(inner, at, widths)]
        case "LazyInverse":
            return [Inverse(Chain(*_read(part.transform, at, widths)))]
        case "MaskedAutoregressiveTransform":
            return [_masked(part, len(at), widths)]
        case "GeneralCouplingTransform":
            return [_halves(part, widths)]
        case "ElementWiseTransform":
            return [_elementwise(part, len(at), widths)]
        case "UnconditionalTransform" | "Unconditional":
            return [_unconditional(part)]
    return refuse(f"{word(part)} has no counterpart here", _TRAINED)


def _masked(part: Any, dim: int, widths: set[int]) -> Transform:
    curve, order = _scalar_map(part)
    parts = list(part.hyper)
    first, last = (MaskedRows(layer.weight, layer.mask, layer.bias) for layer in (parts[0], parts[-1]))
    width = first.weight.shape[1] - dim
    widths.add(width)
    last = MaskedRows(*(by_parameter(rows, order) for rows in last))
    blocks = [list(inner) for inner in parts if _name_of(inner) == "Residual"]
    layers, options = list[MaskedRows](), dict[str, Any]()
    if len(parts) == 1:
        layers, options = _as_two(last), {"linear_end": True}
    elif blocks:
        if len(blocks) != len(parts) - 2:
            refuse("residual blocks of a masked net differ in width", "build it with hidden_features that are all alike")
        layers, options = _in_pairs(first, blocks, last), {"residual": True, "linear_end": True}
    else:
        layers = [first, *(MaskedRows(layer.weight, layer.mask, layer.bias) for layer in parts[2:-1:2]), last]
        options = {"activation": activation_of(parts[1], "a masked net")}
    first = layers[0]
    given = FromContext((first.weight * first.mask)[:, dim:]) if width else None
    layers[0] = MaskedRows(first.weight[:, :dim], first.mask[:, :dim], first.bias)
    return causal_layer(curve, masked_net("the masked net", layers, given, **options))


def _as_two(layer: MaskedRows) -> list[MaskedRows]:
    """A layer without hidden ones behind units that are its inputs."""
    eye = torch.eye(layer.weight.shape[1]).to(layer.weight)
    return [MaskedRows(eye, eye.bool(), layer.bias.new_zeros(len(eye))), layer]


def _in_pairs(first: MaskedRows, blocks: list[list[Any]], last: MaskedRows) -> list[MaskedRows]:
    """Blocks ``h + W_2 relu(W_1 h)`` as ones that read relu(h): beside each unit stands its negative, ``h = relu(h) - relu(-h)``."""
    layers = [_with_negatives(first)]
    for inner, activation, outer in blocks:
        if type(activation) is not nn.ReLU:
            refuse(f"a residual block of a masked net has the activation {word(activation)}", "build it with ReLU, the default")
        layers.append(MaskedRows(torch.cat([inner.weight, -inner.weight], 1), torch.cat([inner.mask] * 2, 1), inner.bias))
        layers.append(_with_negatives(MaskedRows(outer.weight, outer.mask, outer.bias)))
    more = (0, first.weight.shape[0])
    return [*layers, MaskedRows(F.pad(last.weight, more), F.pad(last.mask, more), last.bias)]


def _with_negatives(layer: MaskedRows) -> MaskedRows:
    return MaskedRows(torch.cat([layer.weight, -layer.weight]), torch.cat([layer.mask] * 2), torch.cat([layer.bias, -layer.bias]))


def _halves(part: Any, widths: set[int]) -> Transform:
    curve, order = _scalar_map(part)
    net = sequence(list(part.hyper), _name_of)
    last = net[-1]
    assert isinstance(last, nn.Linear)
    widths.add(part.hyper[0].weight.shape[1] - int(part.mask.sum()))
    _reorder(last, order)
    return coupling_layer(part.mask, curve, net, last)


def _elementwise(part: Any, dim: int, widths: set[int]) -> Transform:
    """With a context, a coupling that keeps nothing."""
    curve, order = _scalar_map(part)
    if "phi" in dict(part.named_children()):
        return constants(curve, torch.cat([phi.flatten(1) if phi.dim() > 1 else phi[:, None] for phi in part.phi], 1).t())
    net = sequence(list(part.hyper), _name_of)
    last = net[-1]
    assert isinstance(last, nn.Linear)
    widths.add(part.hyper[0].weight.shape[1])
    _reorder(last, order)
    return coupling_layer(torch.zeros(dim, dtype=torch.bool), curve, net, last)


@torch.no_grad()
def _reorder(last: nn.Linear, order: list[int]) -> None:
    last.weight.copy_(by_parameter(last.weight, order))
    last.bias.copy_(by_parameter(last.bias, order))


def _unconditional(part: Any) -> Transform:
    """A permutation, a rotation or an affine map; constants that theirs holds as buffers stay as they are."""
    values = [value.detach() for value in (*part.args, *part.kwargs.values()) if isinstance(value, Tensor)]
    match word(part.f):
        case "PermutationTransform":
            return Permute(values[0].tolist())
        case "RotationTransform":
            layer = matched(Orthogonal(len(values[0])), values[0])
            with torch.no_grad():
                layer.weight.copy_((values[0] - values[0].mT).triu(1))
            return layer
        case "MonotonicAffineTransform" | "AffineTransform":
            made = part()
            shift, scale = (made.shift, made.scale) if _name_of(part.f) else (made.loc, made.scale)
            shift, scale = shift.detach(), scale.detach()
            if not (scale > 0).all():
                refuse("an affine transform has a scale that is not positive", "give it a positive one")
            return scaled(scale.log(), shift) if list(part.parameters()) else Standardize(-shift.double() / scale, 1 / scale.double())
    return refuse(f"{word(part.f)} has no counterpart here", _TRAINED)


def _scalar_map(part: Any) -> tuple[Univariate, list[int]]:
    """The scalar map of a transform, and theirs of its parameters in our order."""
    make: Any = part.univariate
    make, options = (make.func, make.keywords) if isinstance(make, functools.partial) else (make, {})
    sizes = [tuple(shape) for shape in part.shapes]
    match _name_of(make), sizes:
        case "AdditiveTransform", [()]:
            return Additive(), [0]
        case "MonotonicAffineTransform", [(), ()]:
            return FloorAffine("softclip", _option(make, options, "slope")), [0, 1]
        case "MonotonicRQSTransform", [(bins,), (heights,), (inner,)] if bins == heights == inner + 1:
            curve = SoftclipSpline(bins, _option(make, options, "bound"), _option(make, options, "slope"))
            return curve, list(range(curve.params))
    return refuse(f"the scalar map {word(make)} with parameters of shapes {sizes} has no counterpart here", _TRAINED)


def _option(make: Callable[..., Any], options: dict[str, Any], name: str) -> float:
    """What the map is made with: by the partial function, or by default."""
    return float(options.get(name, inspect.signature(make).parameters[name].default))
