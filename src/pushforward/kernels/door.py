"""The one door to the kernels: whether one may run, its gradient, and the plain path for everything it can't take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from . import library

Plain = Callable[..., tuple[Tensor, Tensor]]


class Kernel:
    """A function of tensors in C, to a value and its log derivative.

    Attributes:
        plain: the same by PyTorch, of the same inputs.
        differentiable: :meth:`gradient` is there; otherwise ``plain`` is called where a gradient is wanted.
    """

    plain: Plain
    differentiable = True

    def fits(self, *inputs: Any) -> bool:
        """Whether shapes belong together and sizes are within the kernel's; whatever does not is the plain path's to refuse."""
        raise NotImplementedError(f"{type(self).__name__} does not define fits")

    def forward(self, *inputs: Any, keep: bool = False) -> tuple[Any, ...]:
        """Value and log derivative; behind them what the gradient needs beside the inputs, if it is to be kept."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def gradient(self, inputs: Sequence[Any], kept: Sequence[Any], g_out: Tensor, g_slope: Tensor) -> Sequence[Tensor | None]:
        """The gradients of the inputs, from those of value and log derivative and what :meth:`forward` kept."""
        raise NotImplementedError(f"{type(self).__name__} does not define gradient")

    def traced(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """What torch.compile sees: an operator, or the plain path where that is fused well."""
        return self.plain(*inputs)


def dispatch(kernel: Kernel, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    """``kernel.plain(*inputs)``, by C where that can be."""
    graded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    if torch.compiler.is_exporting() or (graded and not kernel.differentiable):
        return kernel.plain(*inputs)
    compiling = torch.compiler.is_compiling()
    if not ((compiling or ordinary(inputs)) and available() and kernel.fits(*inputs)):
        return kernel.plain(*inputs)
    if compiling:
        return kernel.traced(*inputs)
    return Differentiated.apply(kernel, *inputs) if graded else kernel.forward(*inputs)  # type: ignore[return-value]


def ordinary(tensors: Sequence[Tensor | None]) -> bool:
    """Whether all are numbers in the memory of the CPU, of one type that C has.

    Subclasses, FakeTensors, tensors of a mode or a transform and views that negate look like tensors and have no such memory.
    """
    dtype = None
    for t in tensors:
        if t is None:
            continue
        dtype = dtype or t.dtype
        if not (type(t) is Tensor or type(t) is Parameter) or t.dtype is not dtype or not t.is_cpu or t.is_neg():
            return False
        if t.layout is not torch.strided or not torch._C._has_storage(t):
            return False
    return dtype is torch.float32 or dtype is torch.float64


def available() -> bool:
    """Whether there are kernels, and nothing has to see each operation: torch.func, forward derivatives, a mode, a trace.

    Autocast need not: it allows nets less than float32, and asks for nothing; kernels are faster than bfloat16.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    if torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state() is not None:
        return False
    return not library.switched_off() and library.loaded() is not None


available._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch.compiler.assume_constant_result, without loading the compiler


class Differentiated(torch.autograd.Function):
    """A kernel with its gradient, for which the inputs are kept, and what the kernel says.

    Gradients that are differentiated again, or of many vectors at once, go through ``plain``.
    """

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        out, slope, *kept = kernel.forward(*inputs, keep=True)
        ctx.kernel, ctx.inputs = kernel, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return out, slope

    @staticmethod
    def backward(ctx: Any, g_out: Tensor, g_slope: Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # once: of a checkpoint they are found again when they are asked for
        inputs, kept = saved[: ctx.inputs], saved[ctx.inputs :]
        if torch.is_grad_enabled() or not ordinary([inputs[0], g_out, g_slope]) or not available():
            return None, *again(ctx.kernel.plain, inputs, ctx.needs_input_grad[1:], (g_out, g_slope))
        return None, *ctx.kernel.gradient(inputs, kept, g_out, g_slope)


def again(plain: Plain, inputs: Sequence[Tensor | None], needed: Sequence[bool], gradients: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of ``plain(*inputs)`` where they are needed, themselves with a gradient if one is wanted."""
    twice = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # By views: parameters h = net(x) depend on x, and asked for by x itself the way through the net would be counted twice.
        own = [None if t is None else t.view_as(t) if twice else t.detach().requires_grad_(need) for t, need in zip(inputs, needed)]
        wanted = [t for t, need in zip(own, needed) if need and t is not None]
        found = iter(torch.autograd.grad(plain(*own), wanted, gradients, create_graph=twice, allow_unused=True))
    return [next(found) if need else None for need in needed]
