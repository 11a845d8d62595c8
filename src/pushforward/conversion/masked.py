"""Any masked net of another library as a MADE: features in an order, hidden units sorted by what they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..nets import MADE
from .reading import fill, filled, matched, refuse


class MaskedRows(NamedTuple):
    """A layer ``W h + b``; the mask is true where W counts."""

    weight: Tensor
    mask: Tensor
    bias: Tensor


class FromContext(NamedTuple):
    """What a context adds to the units of the first layer: ``V c + d``, or an activation of it."""

    weight: Tensor
    bias: Tensor | None = None
    activation: nn.Module | None = None


@torch.no_grad()
def masked_net(
    name: str,
    layers: Sequence[MaskedRows],
    given: FromContext | None = None,
    *,
    activation: nn.Module | None = None,
    residual: bool = False,
    linear_end: bool = False,
) -> MADE:
    """The MADE that gives the same numbers.

    ``layers`` are the first ``(W, D)``, square ones or others between, in blocks of two if ``residual``, and the last ``(params D, W)``,
    its rows by parameter, then feature. Masks may be any that make the net autoregressive in some order. Where ours lets a unit see more
    than theirs did, the weight is 0. Layers may differ in width: what one has fewer units of has no weights there, in or out.
    """
    first, *hidden, last = layers
    dim = first.weight.shape[1]
    params = last.weight.shape[0] // dim
    found, reads = fields(layers, residual)
    order = visiting(name, reads)
    position = torch.empty(dim, dtype=torch.long)
    position[order] = torch.arange(dim)
    degrees = [((position + 1) * sees).amax(1).clamp_max(dim - 1) for sees in found]  # a unit that sees all features is of no use
    counts = torch.stack([degree.bincount(minlength=dim) for degree in degrees]).amax(0)
    rows = [slots(degree, counts) for degree in degrees]
    width = int(counts.sum())

    embed: nn.Module | None = None
    if given is not None:
        linear = filled(placed(given.weight, width, rows[0]), None if given.bias is None else placed(given.bias, width, rows[0]))
        embed = linear if given.activation is None else nn.Sequential(linear, given.activation)
    made = MADE(
        dim,
        params,
        width=width,
        depth=len(hidden) // 2 if residual else len(hidden) + 1,
        context=0 if given is None else given.weight.shape[1],
        order=order.tolist(),
        residual=residual,
        degrees=torch.arange(dim).repeat_interleave(counts).tolist(),
        embed=embed,
        activation=None if type(activation) is nn.ReLU else activation,
        linear_end=linear_end,
    )
    matched(made, first.weight)
    weight = (first.weight * first.mask)[:, order[:-1]]
    fill(made.first, placed(weight, width, rows[0]), placed(first.bias, width, rows[0]))
    for ours, theirs, before, after in zip(made.hidden, hidden, rows[:-1], rows[1:], strict=True):
        weight = placed((theirs.weight * theirs.mask).t(), width, before).t()
        fill(ours, placed(weight, width, after), placed(theirs.bias, width, after))
    fill(made.last, placed((last.weight * last.mask).t(), width, rows[-1]).t(), last.bias)
    return made


def fields(layers: Sequence[MaskedRows], residual: bool) -> tuple[list[Tensor], Tensor]:
    """Which features each hidden unit sees, ``(W, D)`` for each hidden layer, and which each feature's parameters read, ``(D, D)``.

    Units of residual blocks see what the blocks add to them, all blocks together: they keep one place in the order throughout.
    """
    first, *hidden, last = (layer.mask.cpu().bool() for layer in layers)
    found = [first]
    if residual:
        before: Tensor | None = None
        while before is None or not torch.equal(before, first):
            before, found = first, [first]
            for inner, outer in zip(hidden[::2], hidden[1::2], strict=True):
                units = through(inner, first)
                first = first | through(outer, units)
                found += [units, first]
    else:
        for mask in hidden:
            found.append(through(mask, found[-1]))
    dim = first.shape[1]
    return found, through(last, found[-1]).view(-1, dim, dim).any(0)


def through(mask: Tensor, below: Tensor) -> Tensor:
    """Whether there is a way from one to the other: ``(A, B)`` and ``(B, C) -> (A, C)``."""
    return mask.double() @ below.double() > 0


def visiting(name: str, reads: Tensor) -> Tensor:
    """The features in an order in which each comes after all that it reads."""
    for _ in range(len(reads).bit_length()):
        reads = reads | through(reads, reads)
    if reads.diagonal().any():
        refuse(f"the parameters of a feature of {name} depend on the feature itself", "use one that is autoregressive")
    return reads.sum(1).argsort(stable=True)


def slots(degrees: Tensor, counts: Tensor) -> Tensor:
    """The number of each unit where all are sorted by degree, with so many of each degree."""
    own = degrees.bincount(minlength=len(counts))
    order = degrees.argsort(stable=True)
    rank = torch.empty_like(degrees)
    rank[order] = torch.arange(len(degrees)) - (own.cumsum(0) - own)[degrees[order]]
    return (counts.cumsum(0) - counts)[degrees] + rank


def placed(rows: Tensor, width: int, at: Tensor) -> Tensor:
    """So many rows, those given at their numbers and zeros elsewhere."""
    return rows.new_zeros(width, *rows.shape[1:]).index_copy(0, at.to(rows.device), rows)
