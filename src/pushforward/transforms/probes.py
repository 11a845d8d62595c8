"""Products of Jacobians with vectors: with all unit vectors, or with random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

RowMap = Callable[[Tensor], Tensor]  # of rows (B, *shape), each by itself, or of K vectors for each, (K, B, *shape)
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


def identity_plus_jacobian(pull: RowMap, x: Tensor) -> Tensor:
    """``I + dg/dx`` of each row, ``(B, D, D)``, from products ``(dg/dx)^T v`` of vectors ``(K, B, *shape)``."""
    jacobian = pull(unit_vectors(x)).flatten(2).transpose(0, 1)
    return jacobian + torch.eye(jacobian.shape[1], dtype=x.dtype, device=x.device)
