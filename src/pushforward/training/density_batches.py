"""An unnormalized density as what the training loop feeds on and judges by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ..core import Flow
from ..evaluation import Importance
from ..objectives.reverse import ReverseKL, checked_log_prob, draws
from .batches import Batches, Validation
from .processes import Processes
from .schedule import derive_seed

LOOK_ROWS = 1024
ANNEALED = 0.3  # share of the plan at a temperature above 1


class DensityBatches(Batches):
    """Nothing but the contexts, if there are any, and the inverse temperature of a step."""

    def __init__(self, log_prob: Callable[..., Tensor], batch: int, context: Tensor | None, anneal: float, seed: int, processes: Processes):
        self.batch = max(1, batch // processes.count) * processes.count
        self._log_prob, self._context, self._anneal, self._seed, self._processes = log_prob, context, anneal, seed, processes

    def __call__(self, step: int, progress: float) -> tuple[Tensor | None, float]:
        beta = 1 / temperature(self._anneal, progress)
        if self._context is None:
            return None, beta
        index = torch.randint(
            len(self._context), (self.batch,), generator=torch.Generator().manual_seed(derive_seed(self._seed, "contexts", step))
        )
        return self._context.index_select(0, index[self._processes.rank :: self._processes.count].to(self._context.device)), beta

    def begin(self, flow: Flow) -> None:
        """Find out whether there is something to follow."""
        with torch.no_grad():
            x, _, given = draws(flow, max(1, self.batch // (1 if self._context is None else len(self._context))), self._context)
        value = checked_log_prob(self._log_prob, x.requires_grad_(), given)
        if not value.requires_grad:
            raise ValueError(
                "fit_density: expected a log_prob that is differentiable in x, got values without a gradient; write it in torch"
            )
        if not value.isfinite().any():
            raise ValueError(
                f"fit_density: log_prob is not finite at any of {len(x):,} draws of the flow as it is; start it where the density is, or "
                "begin it with a layer from the density's support to the whole space"
            )


class DensityValidation(Validation):
    """The bound and the effective sample size on a few draws, with the same noise each time, so that looks compare."""

    def __init__(self, log_prob: Callable[..., Tensor], context: Tensor | None, anneal: float, seed: int, processes: Processes):
        self._log_prob, self._anneal, self._seed, self._processes = log_prob, anneal, seed, processes
        self._context = None if context is None else context[torch.arange(LOOK_ROWS, device=context.device) % len(context)]

    def __call__(self, objective: nn.Module, progress: float) -> dict[str, float]:
        flow = cast(ReverseKL, objective).flow
        self._processes.seed(self._seed, "look")
        x, log_q, given = draws(flow, LOOK_ROWS if self._context is None else 1, self._context)
        found = Importance(x, (checked_log_prob(self._log_prob, x, given) - log_q).double())
        elbo, ess = self._processes.agree(found.elbo.item(), found.ess.item())
        warm = temperature(self._anneal, progress)
        # a flow that has found one mode only may have a better bound than one that is still spread over all of them
        return {"valid": -elbo if warm == 1 else math.nan, "elbo": elbo, "ess": ess, "temperature": warm}


def temperature(first: float, progress: float) -> float:
    """From the first one down to 1 at three tenths of the plan, evenly on the logarithmic scale."""
    return first ** max(0.0, 1 - progress / ANNEALED)
