"""Where autocast has no business."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Pass = TypeVar("Pass", bound=Callable[..., Any])  # of a tensor


def full_precision(method: Pass) -> Pass:
    """A layer's or a density's own arithmetic without autocast: that is for nets. Products of x in bfloat16 could not be undone, and torch
    has no solvers for it."""

    @functools.wraps(method)
    def run(self: Any, x: Tensor, *others: Any, **named: Any) -> Any:
        kind = x.device.type
        if kind == "meta" or not torch.is_autocast_enabled(kind):
            return method(self, x, *others, **named)
        with torch.autocast(kind, enabled=False):
            return method(self, x, *others, **named)

    return run  # type: ignore[return-value]
