"""A model of any torch library, and the works it does: a training step, densities, samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.training.budget import Operations

from .cases import LEARNING_RATE, SIDE, Case
from .contender import Facts, Local
from .floor import flops


@dataclass
class Model:
    """What a builder gives.

    Attributes:
        module: holds the parameters.
        log_prob: ``(x, context) -> (B,)``.
        sample: ``(n, context) -> (n, D)``.
        remark: where its class differs from ours.
    """

    module: nn.Module
    log_prob: Callable[[Tensor, Tensor | None], Tensor]
    sample: Callable[[int, Tensor | None], Tensor]
    remark: str = ""


Builder = Callable[[Case], Model | None]


def rows(case: Case, work: str) -> tuple[Tensor, Tensor | None]:
    """Data and context, the same for every library."""
    generator = torch.Generator().manual_seed(0)
    n = case.rows(work)
    if case.kind == "glow":
        return torch.randint(256, (n, case.dim, SIDE, SIDE), generator=generator).float(), None
    x = torch.randn(n, case.dim, generator=generator)
    return x, torch.randn(n, case.context, generator=generator) if case.context else None


def contender(library: str, build: Builder, case: Case, work: str, compiled: bool) -> Local | None:
    """One work of one library; the model is built here, compiled at the first call. Sampling is timed as the library has it."""
    if compiled and work == "sample":
        return None
    torch.manual_seed(0)
    model = build(case)
    if model is None:
        return None
    x, context = rows(case, work)
    log_prob = torch.compile(model.log_prob, dynamic=False) if compiled else model.log_prob
    optimizer = torch.optim.Adam(model.module.parameters(), lr=LEARNING_RATE, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if case.half else nullcontext():
            loss = -log_prob(x, context).mean()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def density() -> None:
        log_prob(x, context)

    @torch.no_grad()
    def sample() -> None:
        model.sample(len(x), context)

    return Local(library, "compiled" if compiled else "eager", {"step": step, "log_prob": density, "sample": sample}[work])


def facts(build: Builder, case: Case) -> Facts | None:
    """Parameters and operations, counted; torch does not see into a kernel of C, which is taken to do the products that no mask removes."""
    torch.manual_seed(0)
    model = build(case)
    if model is None:
        return None
    x, context = rows(case, "step")
    with Operations() as operations, torch.no_grad():
        model.log_prob(x, context)
    learned = sum(p.numel() for p in model.module.parameters() if p.requires_grad)
    counted, unmasked = operations.total / len(x), flops(case, masked=True)
    if counted >= unmasked:
        return Facts(learned, counted, model.remark)
    return Facts(learned, unmasked, "; ".join([model.remark] * bool(model.remark) + ["products in a kernel of C, counted by the masks"]))
