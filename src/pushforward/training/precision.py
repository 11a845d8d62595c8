"""Whether nets compute in bfloat16."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any, Literal

import torch
from torch import Tensor

from ..core import Flow
from .gradient import Gradient
from .processes import Processes

Precision = Literal["auto", "no", "bf16"]
TURNS = 3  # of a gradient in either precision, of which the middle one counts
FASTER = 1.2  # how much faster it has to be
ALIKE = 0.003  # bits for each number of x, by which the loss may differ


def known_precision(asked: Precision, before: str, flow: Flow, compiled: str, processes: Processes) -> str:
    """In what precision nets compute: "no" (that of their weights), "bf16", or "" if that is to be tried.

    ``before`` is what stands in the checkpoint. Tried are models of images and sounds, whose time is that of convolutions, where one
    process alone decides and steps are not compiled from the start.
    """
    decided = before if asked == "auto" else asked
    return decided or ("" if len(flow.shape) > 1 and processes.count == 1 and compiled != "yes" else "no")


def try_bfloat16(gradient: Gradient, flow: Flow, step: int, batch: tuple[Any, ...], share: Tensor | float) -> tuple[str, str]:
    """ "bf16" or "no", by the time and the loss of one batch in either precision, in turn; and what is to be said about it.

    Nothing is left behind: no gradient, and the random numbers are those of the step.
    """
    seconds: dict[str, list[float]] = {"no": [], "bf16": []}
    losses: dict[str, float] = {}
    for _ in range(TURNS):
        for precision, times in seconds.items():
            gradient.precision = precision
            start = time.perf_counter()
            losses[precision] = float(gradient(step, batch, share))
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
            times.append(time.perf_counter() - start)
            gradient.forget()
    whole, half = (statistics.median(times) for times in seconds.values())
    bits = abs(losses["bf16"] - losses["no"]) / math.log(2) / math.prod(flow.shape)
    gradient.precision = "bf16" if whole > FASTER * half and bits <= ALIKE else "no"
    said = f"nets in bfloat16: {1e3 * half:.0f} ms in place of {1e3 * whole:.0f}; the loss of a batch differs by {bits:.4f} bits/dim"
    return gradient.precision, said if gradient.precision == "bf16" else ""
