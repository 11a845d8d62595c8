"""What the readers of other libraries' modules share: names of classes, refusals, weights into our layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Transform
from ..nets import MADE
from ..nets.mlp import linear
from ..transforms import Autoregressive, Coupling, Elementwise
from ..univariate import Affine, Univariate

OTHERWISE = "or fit one of ours to rows drawn from it, as pushforward.fit(x, 'nsf')"
ACTIVATIONS: list[tuple[Callable[..., Tensor], type[nn.Module]]] = [
    (F.relu, nn.ReLU),
    (torch.relu, nn.ReLU),
    (F.elu, nn.ELU),
    (F.gelu, nn.GELU),
    (F.leaky_relu, nn.LeakyReLU),
    (F.selu, nn.SELU),
    (F.silu, nn.SiLU),
    (F.softplus, nn.Softplus),
    (torch.sigmoid, nn.Sigmoid),
    (torch.tanh, nn.Tanh),
    (F.tanh, nn.Tanh),
]


def name_in(library: str, part: object) -> str | None:
    """The name of the object's class, if that is one of the library's own."""
    cls = part if isinstance(part, type) else type(part)
    return cls.__name__ if cls.__module__.partition(".")[0] == library else None


def ancestor(library: str, name: str, part: object) -> Any:
    """The library's class of that name, if the object is of it or of a class made from it."""
    return next((cls for cls in type(part).__mro__ if cls.__name__ == name and name_in(library, cls)), None)


def refuse(what: str, remedy: str) -> NoReturn:
    """Raise ValueError: what can't be converted, and what can be done; another way out stands at the end."""
    raise ValueError(f"convert: {what}; {remedy}, {OTHERWISE}")


def word(part: object) -> str:
    """The class of an object, or the name of a function, for a sentence."""
    return getattr(part, "__name__", type(part).__name__)


def activation_of(found: object, where: str) -> nn.Module:
    """An activation, given as a module or as a function, as a module of its own."""
    for function, module in ACTIVATIONS:
        if found is function:
            return module()
        if type(found) is module:
            return copy.deepcopy(found)
    known = ", ".join(sorted({module.__name__ for _, module in ACTIVATIONS}))
    return refuse(f"{where} has the activation {word(found)}", f"build it with one of torch's {known}")


def matched(module: nn.Module, source: Tensor) -> Any:
    """The module in the dtype and on the device of the source."""
    return module.to(source.device, source.dtype)


@torch.no_grad()
def fill(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """The linear layer with those numbers, in their dtype and on their device."""
    matched(layer, weight)
    layer.weight.copy_(weight)
    nn.init.zeros_(layer.bias) if bias is None else layer.bias.copy_(bias)
    return layer


def filled(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with those numbers."""
    return fill(linear(weight.shape[1], weight.shape[0]), weight, bias)


def by_parameter(rows: Tensor, params: Sequence[int]) -> Tensor:
    """Rows of a last layer by parameter, then feature, from rows by feature, then parameter; ``params`` are the wanted ones in order."""
    return rows.unflatten(0, (-1, len(params)))[:, list(params)].transpose(0, 1).flatten(0, 1)


def causal_layer(univariate: Univariate, net: MADE) -> Transform:
    """The layer, whose net gives the parameters themselves."""
    layer = matched(Autoregressive(univariate, net), net.last.weight)
    return without_identity(layer, net.last)


def coupling_layer(kept: Tensor, univariate: Univariate, net: nn.Module, last: nn.Linear) -> Transform:
    """The same of a coupling, by flags of what is kept; ``last`` is the net's last layer."""
    layer = matched(Coupling(kept, univariate, net), last.weight)
    return without_identity(layer, last)


@torch.no_grad()
def without_identity(layer: Autoregressive | Coupling, last: nn.Linear) -> Transform:
    """Our layers add the map's identity to what the net gives: it is taken off here, as they hold it."""
    last.bias.view(layer.univariate.params, -1).sub_(layer.identity.unsqueeze(1))
    return layer


@torch.no_grad()
def constants(univariate: Univariate, h: Tensor) -> Transform:
    """A scalar map with free constants ``(params, D)``."""
    layer = matched(Elementwise(univariate, h.shape[1:]), h)
    layer.h.copy_(h)
    return layer


def scaled(log_scale: Tensor, shift: Tensor) -> Transform:
    """``z = exp(s) x + b`` with free s and b ``(D,)``."""
    return constants(Affine(bound=float("inf")), torch.stack([shift, log_scale]))


def sequence(parts: Sequence[Any], name: Callable[[object], str | None]) -> nn.Sequential:
    """Linear layers of another library, and torch's activations between them, as a net of torch alone; ``name`` names linear ones."""
    layers: list[nn.Module] = []
    for part in parts:
        if name(part) == "Linear" or type(part) is nn.Linear:
            if part.weight.dim() != 2:
                refuse("a net is a stack of several", "use one")
            layers.append(filled(part.weight, part.bias))
        elif name(part):
            refuse(f"the net of a coupling holds {word(part)}", "use linear layers and activations of torch")
        else:
            layers.append(activation_of(part, "the net of a coupling"))
    return nn.Sequential(*layers)
