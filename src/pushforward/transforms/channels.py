"""Linear algebra along axis 1, the same at every position: what the linear layers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..core import zeros


def on_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply ``function``, which maps rows ``(N, D) -> (N, D)``, to the channels at every position of x ``(B, D, *space)``."""
    rows = x.movedim(1, -1)  # (B, *space, D)
    return function(rows.reshape(-1, x.shape[1])).reshape(rows.shape).movedim(-1, 1)


def mix(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """``z = W x + b`` at every position: D^2 multiplications each. ``(B, D, *space) -> (B, D, *space)``."""
    return on_rows(lambda rows: nn.functional.linear(rows, matrix, bias), x)


def unmix(z: Tensor, inverse: Tensor, bias: Tensor) -> Tensor:
    """``x = W^-1 (z - b)`` given ``W^-1``; b goes first, as ``W^-1 z - W^-1 b`` would cancel where b is large."""
    return on_rows(lambda rows: nn.functional.linear(rows - bias, inverse), z)


def solve_triangular(rows: Tensor, matrix: Tensor, upper: bool) -> Tensor:
    """x with ``x matrix = rows``, ``(*batch, N, D)``. An exported graph holds the D steps, as ONNX has no operator for them."""
    if not torch.compiler.is_exporting():
        return torch.linalg.solve_triangular(matrix, rows, upper=upper, left=False)
    solved = list(rows.split(1, -1))
    for j in range(rows.shape[-1]) if upper else reversed(range(rows.shape[-1])):
        solved[j] = rows[..., j, None] / matrix[..., j, j, None, None]
        rows = rows - solved[j] * matrix[..., j, None, :]
    return torch.cat(solved, -1)


def per_row(x: Tensor, log_det: Tensor) -> Tensor:
    """The log-det of one position, times the positions, for each row of x: ``() -> (B,)``."""
    return zeros(x) + math.prod(x.shape[2:]) * log_det


def total(x: Tensor) -> Tensor:
    """The sum in float32 or better: ``(D,) -> ()``."""
    return x.sum(dtype=torch.promote_types(x.dtype, torch.float32))


def left_out(rows: Tensor, folds: int = 5) -> Iterator[tuple[Tensor, Tensor]]:
    """For cross-validation: each part of the rows, and all the others."""
    parts = rows.split(-(-len(rows) // folds))
    for i, some in enumerate(parts):
        yield some, torch.cat([*parts[:i], *parts[i + 1 :]])
