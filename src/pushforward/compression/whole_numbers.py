"""Whole numbers by a model's likelihood of them, one by one or many at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..distributions import Causal, Multiscale
from ..likelihoods import Discrete, DiscretizedLogisticMixture
from .codec import filled_up
from .coder import Coder
from .digits import by_digits


def in_turn(coder: Coder, base: Causal | Multiscale, block: int, rows: int, x: Tensor | None, context: Tensor | None) -> Tensor:
    """Numbers of ``rows`` rows of a model that finds number after number, ``(rows, *shape)``, by the lines in which samples are drawn.

    Cost: in each direction that of as many samples.

    Arguments:
        coder: writes or reads.
        base: the model.
        block: rows that it is computed for, at least ``rows``.
        rows: how many there are.
        x: the numbers, if they are known.
        context: embedded, of ``block`` rows.
    """
    assert isinstance(base.likelihood, Discrete)
    likelihood = base.likelihood
    order = base.order.flatten()
    turns = iter(order.argsort(stable=True).split(order.unique(return_counts=True)[1].tolist()))
    known = None if x is None else x.flatten(1).long()
    found = torch.zeros(rows, math.prod(base.shape), dtype=torch.long)

    def find(h: Tensor) -> Tensor:
        at = next(turns)
        part = at_once(coder, likelihood, h, rows, None if known is None else known[:, at].view(rows, *h.shape[2:]))
        found[:, at] = part.flatten(1)
        return filled_up(part, block).to(h.dtype)

    base.visit(find, block, context)
    return found.view(rows, *base.shape).double()


def at_once(coder: Coder, likelihood: Discrete, h: Tensor, rows: int, x: Tensor | None) -> Tensor:
    """Numbers of the first rows of parameters h ``(B, params, c, *rest)``: ``(rows, c, *rest)``; tied channels one after the other.

    Cost: for each number 17 values of the distribution function for each 4 bits of its levels.
    """
    shape = (len(h), *h.shape[2:])
    tied = isinstance(likelihood, DiscretizedLogisticMixture) and likelihood.channels > 1
    parts = [slice(c, c + 1) for c in range(shape[1])] if tied else [slice(None)]
    found = torch.zeros(shape, dtype=torch.long)
    for part in parts:
        size = found[:rows, part].shape

        def below(k: np.ndarray, part: slice = part, size: torch.Size = size) -> np.ndarray:
            return _below(likelihood, torch.from_numpy(k).view(*size, -1), h, found, part).reshape(k.shape)

        given = None if x is None else x[:, part].reshape(-1).long().numpy()
        numbers = by_digits(coder, likelihood.levels, below, given, size.numel())
        found[:rows, part] = torch.from_numpy(numbers).view(size)
    return found[:rows]


def _below(likelihood: Discrete, k: Tensor, h: Tensor, found: Tensor, part: slice) -> np.ndarray:
    """``P(X < k)`` of some channels, ``(rows, c, *rest, Q)``, given those before."""
    if part == slice(None):
        return likelihood.cdf((k - 1).to(h.dtype), h[: len(k)].unsqueeze(-1)).numpy()
    levels = found.unsqueeze(-1).repeat(*(1 for _ in found.shape), k.shape[-1])
    levels[: len(k), part] = k - 1
    return likelihood.cdf(levels.to(h.dtype), h.unsqueeze(-1))[: len(k), part].numpy()
