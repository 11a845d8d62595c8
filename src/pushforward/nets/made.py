"""A dense net whose output i sees only the inputs before i, and which can be evaluated input by input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import unwatched
from ..words import check_counts, printable
from .causal import CausalNet, Masked, Solve
from .mlp import linear
from .prefix import Prefix, add_product

GROUP = 8  # positions that a visit takes together


class MADE(CausalNet):
    r"""Masked net ``(B, D) -> (B, params * D)``, seen as ``(B, params, D)``: parameters for feature i from the features before it.

    Every hidden unit has a degree d and sees the inputs at positions < d; units are sorted by degree, so that the masks are
    block triangular and the net can be evaluated one position at a time (:meth:`unroll`) with the arithmetic of one pass.
    Degrees start at 0 if there is a context, so that it reaches the first feature, and a net of one feature is a net of the
    context alone (with the paper's degrees 1..D-1 the first feature silently ignores the context). In memory the batch is the
    last axis throughout, so that what follows works on long contiguous rows.

    Reference: MADE: Masked Autoencoder for Distribution Estimation, Germain, Gregor, Murray, Larochelle, 2015,
    arXiv:1502.03509. Residual form: Neural Spline Flows, 2019, arXiv:1906.04032, without batch norm and dropout, and with
    rectified units before the last layer (their code reads the blocks' sum as it is: ``linear_end``).

    Arguments:
        dim: the number of features D.
        params: outputs per feature.
        width: hidden units per layer.
        depth: hidden layers; with ``residual``, blocks of two layers after a first one.
        context: the width of the context, which every hidden unit sees.
        order: the features in the order of their visit; default 0..D-1.
        residual: pre-activation residual blocks.
        degrees: of the hidden units, rising, each from 0 to D - 1; default as evenly spread as can be.
        embed: from the context to what it adds to the first layer, ``(B, context) -> (B, width)``; default a linear layer.
        activation: of hidden units; default ReLU. No kernel knows another.
        linear_end: the last layer reads the units of the one before as they are. No kernel knows such a net.

    Raises:
        ValueError: an order that is no permutation; degrees that do not rise, of other units than there are, or beyond D - 1.
    """

    seen: Tensor
    mask_in: Tensor
    mask_hidden: Tensor
    mask_out: Tensor
    hidden: Sequence[nn.Linear]

    def __init__(
        self,
        dim: int,
        params: int,
        *,
        width: int = 128,
        depth: int = 2,
        context: int = 0,
        order: Sequence[int] | None = None,
        residual: bool = False,
        degrees: Sequence[int] | None = None,
        embed: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        linear_end: bool = False,
    ):
        super().__init__()
        check_counts("MADE", dim=dim, params=params, width=width)
        check_counts("MADE", least=0, depth=depth, context=context)
        self.dim, self.params, self.context = dim, params, context
        self.order = tuple(range(dim)) if order is None else tuple(order)
        if sorted(self.order) != list(range(dim)):
            raise ValueError(f"MADE: order must be a permutation of 0..{dim - 1}, got {self.order}")
        if degrees is None:
            low = 0 if context or dim == 1 else 1
            degrees = sorted(low + (unit * (dim - low)) // width for unit in range(width)) if dim > 1 else [0] * width
        elif len(degrees) != width or sorted([0, *degrees, dim - 1]) != [0, *degrees, dim - 1]:
            raise ValueError(f"MADE: expected {width} degrees that rise from 0 to {dim - 1} at most, got {printable(list(degrees))}")
        self.ends = tuple(sum(degree <= position for degree in degrees) for position in range(dim))  # units known at a position
        self.residual, self.activation, self.linear_end = residual, activation, linear_end
        hidden = 2 * depth if residual else depth - 1
        self.first = linear(dim - 1, width)  # nobody sees the last feature
        self.embed = (linear(context, width) if embed is None else embed) if context else None
        self.hidden = nn.ModuleList(linear(width, width) for _ in range(hidden))  # type: ignore[assignment]
        self.last = linear(width, params * dim, zero=True)

        position, degree = torch.tensor(sorted(range(dim), key=self.order.__getitem__)), torch.tensor(list(degrees))
        seen = torch.arange(dim - 1)[None] < degree[:, None]
        self.register_buffer("seen", torch.tensor(self.order[:-1], dtype=torch.long), persistent=False)
        self.register_buffer("mask_in", seen.to(self.first.weight.dtype), persistent=False)
        square = degree[None] <= degree[:, None] if hidden else degree.new_zeros(0, 0)  # of many units as large as all else
        self.register_buffer("mask_hidden", square.to(self.first.weight.dtype), persistent=False)
        mask_out = (degree[None] <= position[:, None]).to(self.first.weight.dtype).repeat(params, 1)
        self.register_buffer("mask_out", mask_out, persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self._compute(x, self._given(context), *self._weights())

    def _weights(self) -> list[Tensor]:
        """Weight and bias of each masked layer."""
        return [t for layer in (self.first, *self.hidden, self.last) for t in (layer.weight, layer.bias)]

    def _compute(self, x: Tensor, given: Tensor | None, *weights: Tensor) -> Tensor:
        """The net of other numbers than its own, as :class:`Masked` holds them."""
        if x.shape[1:] != (self.dim,):
            raise ValueError(f"MADE: expected x of shape (B, {self.dim}), got {tuple(x.shape)}")
        (first, first_bias), *hidden, (last, last_bias) = zip(weights[::2], weights[1::2], strict=True)
        h = product(first, self.mask_in, first_bias, x.t().index_select(0, self.seen))
        if given is not None:
            h = h + given.t()
        if self.residual:
            for (inner, inner_bias), (outer, outer_bias) in zip(hidden[::2], hidden[1::2], strict=True):
                u = product(inner, self.mask_hidden, inner_bias, F.relu(h) if self.activation is None else self.activation(h))
                h = h + product(outer, self.mask_hidden, outer_bias, self._activated(u))
        else:
            for weight, bias in hidden:
                h = product(weight, self.mask_hidden, bias, self._activated(h))
        return product(last, self.mask_out, last_bias, h if self.linear_end else self._activated(h)).t()

    def _activated(self, units: Tensor) -> Tensor:
        """Units that nothing else reads, of which the default makes use."""
        return units.relu_() if self.activation is None else self.activation(units)

    def unroll(self, solve: Solve, batch: int, context: Tensor | None = None) -> Tensor:
        """Find x position by position: ``solve(i, h) -> x_i`` gets ``h`` ``(B, params, 1)`` and gives ``(B, 1)``. Returns ``(B, D)``.

        Each hidden unit is computed once, when its last input is known: the arithmetic of one pass, in D steps. Positions go in
        groups: what earlier groups give to all units of a group is one large product, so that a step's own products are small.
        Inside, the batch is the last axis, so that a block of units is contiguous.
        """
        like, begins = self.first.weight, (0, *self.ends)
        order = torch.tensor(self.order, device=like.device)
        outs = self.last.weight.view(self.params, self.dim, -1).index_select(1, order).transpose(0, 1)  # (D, params, W), by position
        out_bias = self.last.bias.view(self.params, self.dim).index_select(1, order).t().unsqueeze(2)  # (D, params, 1)
        given = self._given(context)
        first_bias = self.first.bias.unsqueeze(1) if given is None else self.first.bias.unsqueeze(1) + given.t()  # (W, 1) or (W, B)

        x = Prefix(self.dim, batch, like)
        layers = [Prefix(like.shape[0], batch, like) for _ in range(len(self.hidden) + 1)]  # units as the next layer reads them
        for p in range(0, self.dim, GROUP):
            q, begin, end = min(p + GROUP, self.dim), begins[p], begins[min(p + GROUP, self.dim)]
            sizes = [begins[i + 1] - begins[i] for i in range(p, q)]
            own, blocks = slice(begin, end), range(q - p)
            first = torch.addmm(first_bias[own], self.first.weight[own, :p], x.value).split(sizes)
            first_weight = self.first.weight[own, p:q].split(sizes)
            hidden = [
                torch.addmm(layer.bias[own, None], layer.weight[own, :begin], known.value).split(sizes)
                for layer, known in zip(self.hidden, layers, strict=False)
            ]
            hidden_weight = [layer.weight[own, begin:end].split(sizes) for layer in self.hidden]
            rows = torch.addmm(out_bias[p:q].flatten(0, 1), outs[p:q, :, :begin].flatten(0, 1), layers[-1].value)
            out, out_weight = rows.split(self.params), outs[p:q, :, begin:end].unbind(0)

            near_x = Prefix(q - p, batch, like)
            near = [Prefix(end - begin, batch, like) for _ in layers]
            for i in blocks:
                n = begins[p + i + 1] - begin  # units of this group that are known at this position
                if sizes[i]:
                    h = add_product(first[i], first_weight[i][:, :i], near_x.value)
                    self._append(near, 0, h)
                    for j in range(len(hidden)):
                        u = add_product(hidden[j][i], hidden_weight[j][i][:, :n], near[j].value)
                        if self.residual and j % 2:
                            u = h = h + u
                        self._append(near, j + 1, u)
                params = add_product(out[i], out_weight[i][:, :n], near[-1].value)  # (params, B)
                near_x.append(solve(self.order[p + i], params.t().unsqueeze(-1)).t())
            for known, block in zip([x, *layers], [near_x, *near], strict=True):
                known.append(block.value)
        return x.value.t().index_select(1, order.argsort())

    def _append(self, layers: list[Prefix], j: int, units: Tensor) -> None:
        """Add units to those of layer j."""
        if self.linear_end and j == len(layers) - 1:
            layers[j].append(units)
        elif self.activation is None:
            layers[j].append_rectified(units)
        else:
            layers[j].append(self.activation(units))

    def masked(self, context: Tensor | None = None) -> Masked | None:
        if self.linear_end or self.activation is not None:
            return None
        return Masked(self.order, self.ends, self.residual, self._given(context), self._weights(), self._compute)

    def _given(self, context: Tensor | None) -> Tensor | None:
        """What the context adds to the first layer, ``(B, width)``."""
        if self.embed is None:
            return None
        context = self._required(context)
        if type(self.embed) is nn.Linear and self.embed.bias is not None and unwatched(self.embed):
            given = torch.addmm(self.embed.bias.unsqueeze(1), self.embed.weight, context.t()).t()  # in memory as it is needed
        else:
            given = self.embed(context)
        return given.to(self.first.weight.dtype)  # of autocast, bfloat16

    def _required(self, context: Tensor | None) -> Tensor:
        if context is None or context.shape[1:] != (self.context,):
            got = "none" if context is None else str(tuple(context.shape))
            raise ValueError(f"MADE: expected a context of shape (B, {self.context}), got {got}")
        return context

    def extra_repr(self) -> str:
        return f"dim={self.dim}, params={self.params}, context={self.context}, residual={self.residual}"


def product(weight: Tensor, mask: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
    """A masked layer with the batch as last axis: ``(inputs, B) -> (outputs, B)``."""
    return torch.addmm(bias.unsqueeze(1), weight * mask, rows)
