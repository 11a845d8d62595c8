"""A module called with other tensors than its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def substituted(module: nn.Module, change: Callable[[Tensor], Tensor], *inputs: Any, buffers: bool = False) -> Any:
    """What the module gives for the inputs when each of its parameters, or each buffer too, is what ``change`` makes of it.

    A part that stands in several places is changed once. (``torch.func.functional_call`` finds such a part by each of its names, and
    leaves the substitutes in it when it restores them one after the other.)
    """
    tensors: dict[str, Tensor] = {}
    for path, part in module.named_modules():
        own = [*part.named_parameters(recurse=False), *(part.named_buffers(recurse=False) if buffers else ())]
        tensors |= {f"{path}.{name}" if path else name: change(tensor) for name, tensor in own}
    return torch.func.functional_call(module, tensors, inputs, tie_weights=False)
