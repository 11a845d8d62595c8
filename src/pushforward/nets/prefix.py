"""A growing block of rows, for nets that are evaluated step by step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Prefix:
    """The first rows of a ``(rows, B)`` buffer, in ``value``; ``append`` adds rows below.

    The buffer is written in place. With gradients, ``value`` is a new node of the graph over the same memory, whose backward is a
    split: neither the copies of a growing ``cat`` nor the full-size zeros of slicing. Under the transforms of torch.func and
    torch.export, which must see every step, it is that ``cat``.
    """

    def __init__(self, rows: int, batch: int, like: Tensor):
        self.buffer = torch.empty(rows, batch, dtype=like.dtype, device=like.device)
        self.value = self.buffer[:0]

    def append(self, block: Tensor) -> None:
        if stepwise():
            self.value = torch.cat([self.value, block])
        elif recorded(block, self.value):
            self.value = _Append.apply(self.buffer, self.value, block)
        else:
            self._next(block.shape[0]).copy_(block)

    def append_rectified(self, block: Tensor) -> None:
        """``append(relu(block))``, without a copy."""
        if recorded(block, self.value) or stepwise():
            self.append(F.relu(block))
        else:
            torch.clamp_min(block, 0, out=self._next(block.shape[0]))

    def _next(self, rows: int) -> Tensor:
        start = self.value.shape[0]
        self.value = self.buffer[: start + rows]
        return self.buffer[start : start + rows]


def add_product(block: Tensor, weight: Tensor, rows: Tensor) -> Tensor:
    """``block + weight @ rows``, in place where no gradient is recorded: the caller's block is used up."""
    if recorded(block, weight, rows) or stepwise():
        return torch.addmm(block, weight, rows)
    return block.addmm_(weight, rows)


def transformed() -> bool:
    """Within vmap, grad, jvp or another transform of torch.func."""
    return torch._C._are_functorch_transforms_active()


def stepwise() -> bool:
    """Each step has to be seen, as a tensor of its own: no writing in place and no autograd Function."""
    return transformed() or torch.compiler.is_exporting()


def recorded(*tensors: Tensor) -> bool:
    """A gradient may be asked of what is made of them."""
    if torch.is_grad_enabled():
        for tensor in tensors:  # a generator takes three times as long
            if tensor.requires_grad:
                return True
    return False


class _Append(torch.autograd.Function):
    @staticmethod
    def forward(ctx, buffer: Tensor, value: Tensor, block: Tensor) -> Tensor:
        start, stop = value.shape[0], value.shape[0] + block.shape[0]
        buffer.data[start:stop] = block  # .data: rows already read are not changed, so their version need not move
        ctx.split = (start, stop - start)
        return buffer.data[:stop]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        value, block = grad.split(ctx.split)
        return None, value, block
