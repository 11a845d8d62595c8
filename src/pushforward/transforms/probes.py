"""Products of Jacobians with vectors: with all unit vectors, or with random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

RowMap = Callable[[Tensor], Tensor]  # of rows, each by itself
ProbeNoise = Literal["rademacher", "gaussian"]


def unit_vectors(x: Tensor) -> Tensor:
    """All D of them for each row of x: ``(B, *shape) -> (D, B, *shape)``."""
    dim = x.shape[1:].numel()
    return torch.eye(dim, dtype=x.dtype, device=x.device).view(dim, 1, *x.shape[1:]).expand(dim, *x.shape)


def random_probes(x: Tensor, count: int, noise: ProbeNoise) -> Tensor:
    """Of mean 0 and variance 1, for each row of x: ``(B, *shape) -> (count, B, *shape)``; "rademacher" are signs."""
    like = x.new_empty(count, *x.shape)
    if noise == "gaussian":
        return like.normal_()
    return like.bernoulli_(0.5).mul_(2).sub_(1)


def pullback(g: RowMap, x: Tensor) -> tuple[Tensor, RowMap]:
    """``g(x)``, and products ``v -> (dg/dx)^T v``."""
    value, pull, *_ = torch.func.vjp(g, x)
    return value, lambda v: pull(v)[0]


def dense_jacobian(pull: RowMap, x: Tensor) -> Tensor:
    """``dg/dx`` of each row, ``(B, D, D)``, from products ``v -> (dg/dx)^T v``."""
    return torch.vmap(pull)(unit_vectors(x)).flatten(2).transpose(0, 1)
