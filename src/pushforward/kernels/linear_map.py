"""What a linear map of vectors is to a kernel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .library import Fields
from .masked_layer import permutation


class LinearMap(NamedTuple):
    """Features in another order, or ``exp(log_scale) x + shift``, or ``L U x + shift``, by what its tensors are.

    They are none, log_scale and shift ``(D,)``, or a weight ``(D, D)`` that holds both factors, as
    :class:`~pushforward.transforms.LULinear` has them, and shift.
    """

    order: tuple[int, ...] | None = None

    def fits(self, batch: int, dim: int, *tensors: Tensor) -> bool:
        """Whether order and tensors are those of rows of ``dim`` numbers."""
        sizes = [(dim, dim) if i == 0 and t.dim() == 2 else (dim,) for i, t in enumerate(tensors)]
        return all(t.shape == size for t, size in zip(tensors, sizes)) and (self.order is None or len(self.order) == dim)

    def fields(self, inverse: bool, *tensors: Tensor) -> Fields:
        numbers = {"inverse": inverse, **({} if self.order is None else {"order": permutation(self.order)})}
        if not tensors:
            return Fields(numbers, {}, {})
        first, shift = tensors
        if first.dim() == 1:
            return Fields(numbers, {"scale": (-first if inverse else first).exp(), "shift": shift}, {})
        lower, upper = factors(first)
        if not inverse:
            return Fields(numbers, {"matrix": lower @ upper, "shift": shift}, {})
        eye = torch.eye(len(first), dtype=first.dtype)
        solved = torch.linalg.solve_triangular(lower, eye, upper=False, unitriangular=True)
        return Fields(numbers, {"matrix": torch.linalg.solve_triangular(upper, solved, upper=True), "shift": shift}, {})

    def gradient_fields(self, *tensors: Tensor) -> tuple[Fields, list[Tensor | None]]:
        """Where C writes the gradients, and these."""
        made = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in tensors]
        names = ("g_matrix" if made and made[0].dim() == 2 else "g_scale", "g_shift")
        return Fields({"copies": 1 << 20}, dict(zip(names, made)), {}), list(made)

    def memory(self, x: Tensor, *tensors: Tensor) -> int:
        """Numbers that the gradient can make use of."""
        return 0

    def log_det(self, *tensors: Tensor) -> Tensor | None:
        """What all rows have in common of it."""
        return logarithms(tensors[0]).sum() if tensors else None

    def gradients(self, made: list[Tensor | None], g_log_det: Tensor, *tensors: Tensor) -> list[Tensor | None]:
        """Of its tensors, from those of matrix or scale that C wrote."""
        if not tensors:
            return []
        (g, g_shift), (first, _) = made, tensors
        assert g is not None
        if first.dim() == 1:
            return [g * first.exp() + g_log_det, g_shift]
        lower, upper = factors(first)
        g_upper = lower.mT @ g
        g_weight = (g @ upper.mT).tril(-1) + g_upper.triu(1)
        g_weight.diagonal().copy_(g_upper.diagonal() * upper.diagonal() + g_log_det)
        return [g_weight, g_shift]


def logarithms(first: Tensor) -> Tensor:
    """Of the numbers whose product is the determinant."""
    return first.diagonal() if first.dim() == 2 else first


def factors(weight: Tensor) -> tuple[Tensor, Tensor]:
    """L and U ``(D, D)``."""
    lower, upper = weight.tril(-1), weight.triu(1)
    lower.diagonal().fill_(1)
    upper.diagonal().copy_(weight.diagonal().exp())
    return lower, upper
