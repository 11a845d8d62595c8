"""Gradients that a kernel does not give: by PyTorch, from the inputs that were kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .build import ready


def special(*gradients: Tensor) -> bool:
    """Whether the gradient will be differentiated again, or is taken of many vectors at once (``is_grads_batched``, ``vectorize``)."""
    if torch.compiler.is_compiling():
        return False
    return torch.is_grad_enabled() or not ready(*gradients) or not all(torch._C._has_storage(g) for g in gradients)


def again(
    plain: Callable[..., tuple[Tensor, Tensor]], inputs: Sequence[Tensor | None], needed: Sequence[bool], gradients: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradients of ``plain(*inputs)`` where they are needed, themselves with a gradient if one is wanted."""
    twice = torch.is_grad_enabled()
    with torch.enable_grad():
        if not twice:
            inputs = [None if t is None else t.detach().requires_grad_(need) for t, need in zip(inputs, needed, strict=True)]
        wanted = [t for t, need in zip(inputs, needed, strict=True) if need and t is not None]
        found = iter(torch.autograd.grad(plain(*inputs), wanted, gradients, create_graph=twice, allow_unused=True))
    return [next(found) if need else None for need in needed]
