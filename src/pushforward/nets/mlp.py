"""Fully connected nets of vectors: plain and residual."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import unwatched
from ..words import check_counts


def linear(inputs: int, outputs: int, *, zero: bool = False) -> nn.Linear:
    """A dense layer; ``inputs`` may be 0 (a learned constant), ``zero`` starts it at zero."""
    if inputs < 0 or outputs < 1:
        raise ValueError(f"a dense layer needs inputs >= 0 and at least one output, got {inputs} and {outputs}; is a width 0?")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        layer = nn.Linear(inputs, outputs)
    if zero or not inputs:
        nn.init.zeros_(layer.bias)
    if zero and inputs:
        nn.init.zeros_(layer.weight)
    return layer


class Dense(NamedTuple):
    """A net of rectified units as its numbers.

    Attributes:
        weights: weight and bias of the first layer, of each square one, and of the last.
        residual: the square layers are blocks of two.
    """

    weights: list[Tensor]
    residual: bool

    def compute(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> Tensor:
        """The net of other numbers than its own; ``given`` ``(B, width)`` is added to the first layer's sums."""
        (first, first_bias), *square, (last, last_bias) = zip(weights[::2], weights[1::2], strict=True)
        h = F.linear(x, first, first_bias)
        h = h if given is None else h + given
        if self.residual:
            for (inner, inner_bias), (outer, outer_bias) in zip(square[::2], square[1::2], strict=True):
                h = h + F.linear(F.relu(F.linear(F.relu(h), inner, inner_bias)), outer, outer_bias)
        else:
            for weight, bias in square:
                h = F.linear(F.relu(h), weight, bias)
        return F.linear(F.relu(h), last, last_bias)


class MLP(nn.Module):
    """``(B, inputs) -> (B, outputs)`` through ``depth`` hidden layers of ``width`` rectified units; starts at zero.

    Starting at zero makes a flow layer start as the identity (Glow, arXiv:1807.03039).
    """

    def __init__(self, inputs: int, outputs: int, *, width: int = 128, depth: int = 2):
        super().__init__()
        check_counts("MLP", outputs=outputs, width=width)
        check_counts("MLP", least=0, inputs=inputs, depth=depth)
        sizes = [inputs, *[width] * depth]
        self.inputs = inputs
        self.hidden = nn.ModuleList(linear(a, b) for a, b in pairwise(sizes))
        self.last = linear(sizes[-1], outputs, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        check_features(self, x, self.inputs)
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.last(x)

    def dense(self) -> Dense | None:
        """Its numbers, if they are all that there is to it, and it has a hidden layer."""
        alone = type(self) is MLP and unwatched(self)
        return numbers_of([*self.hidden, self.last], False) if alone and self.hidden else None


class ResidualMLP(nn.Module):
    """``(B, inputs) -> (B, outputs)`` through ``depth`` pre-activation blocks ``h + W_2 relu(W_1 relu(h))``; starts at zero.

    Reference: Neural Spline Flows, Durkan, Bekasov, Murray, Papamakarios, 2019, arXiv:1906.04032, appendix B.1
    (without their batch norm and dropout). Their code reads the blocks' sum as it is (``linear_end``), and lets a context multiply what
    a block adds (``gate``).

    Arguments:
        inputs: features of x, those of a context included, which come last.
        outputs: numbers that leave.
        width: hidden units.
        depth: blocks.
        activation: of hidden units.
        gate: how many of the inputs are a context that also multiplies each block's step by ``sigmoid(V context)``.
        linear_end: the last layer reads the units as they are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Callable[[Tensor], Tensor] = F.relu,
        gate: int = 0,
        linear_end: bool = False,
    ):
        super().__init__()
        check_counts("ResidualMLP", outputs=outputs, width=width)
        check_counts("ResidualMLP", least=0, inputs=inputs, depth=depth, gate=gate)
        self.inputs, self.activation, self.gate, self.linear_end = inputs, activation, gate, linear_end
        self.first = linear(inputs, width)
        self.inner = nn.ModuleList(linear(width, width) for _ in range(depth))
        self.outer = nn.ModuleList(linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(linear(gate, width) for _ in range(depth if gate else 0))
        self.last = linear(width, outputs, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        check_features(self, x, self.inputs)
        h = self.first(x)
        for i, (inner, outer) in enumerate(zip(self.inner, self.outer, strict=True)):
            step = outer(self.activation(inner(self.activation(h))))
            if self.gate:
                step = step * torch.sigmoid(self.gates[i](x[:, -self.gate :]))
            h = h + step
        return self.last(h if self.linear_end else self.activation(h))

    def dense(self) -> Dense | None:
        """Its numbers, if they are all that there is to it, and its units are rectified."""
        alone = type(self) is ResidualMLP and unwatched(self)
        if not alone or self.gate or self.linear_end or self.activation is not F.relu:
            return None
        return numbers_of([self.first, *(layer for pair in zip(self.inner, self.outer) for layer in pair), self.last], True)


def numbers_of(layers: Sequence[nn.Module], residual: bool) -> Dense | None:
    """Those of plain dense layers; ``None`` where one of them is another, parametrized or watched."""
    weights: list[Tensor] = []
    for layer in layers:
        if type(layer) is not nn.Linear or layer.bias is None or not unwatched(layer):
            return None
        weights += [layer.weight, layer.bias]
    return Dense(weights, residual)


def check_features(net: nn.Module, x: Tensor, inputs: int) -> None:
    """Raise ValueError unless x has ``inputs`` features: what a forgotten context looks like from inside."""
    if x.shape[1] != inputs:
        raise ValueError(f"{type(net).__name__}: expected {inputs} features on axis 1, got {x.shape[1]}; is a context missing?")
