"""Whether the values of tensors can be looked at."""

from __future__ import annotations

import torch
from torch import Tensor


def readable(x: Tensor | None = None) -> bool:
    """Neither is a graph made of what is done here, nor are rows mapped over; and x, if given, has its numbers in the memory of the CPU."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or torch._C._get_tracing_state() is not None:
        return False
    return x is None or (type(x) is Tensor and x.is_cpu and not torch._C._len_torch_dispatch_stack())
