"""The optimizer's step, behind a guard: what is not finite never reaches the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .sharding import gathered


class NonFiniteGuard:
    """Clips the gradient's norm and steps, unless the loss or the gradient is not finite: then the step is skipped.

    Arguments:
        optimizer: a fused one.
        parameters: those of the optimizer.
        clip: the largest norm of the gradient.
        tally: skipped steps in a row, skipped steps, sum of the finite losses, their number; brought up to date by :meth:`look`.
        deferred: for a GPU: the decision stays there (the fused kernel reads it, as it does from a GradScaler), so nothing waits.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[nn.Parameter],
        clip: float,
        tally: list[float],
        deferred: bool = False,
    ):
        self.optimizer = optimizer
        self.parameters = list(parameters)
        self.clip = clip
        self.tally = tally
        self.deferred = deferred
        self._unseen: list[Tensor] = []

    def step(self, loss: Tensor) -> None:
        """One step down the gradient in ``parameters``, which is then dropped; ``loss`` must be the same on every process."""
        norm = gathered(nn.utils.clip_grad_norm_(self.parameters, self.clip))
        if self.deferred:
            self._unseen += [loss, norm]
            self.optimizer.found_inf = (~(loss + norm).isfinite()).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif self._count(loss.item(), norm.item()):
            self.optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None

    def look(self) -> list[float]:
        """The tally up to now; a GPU is waited for."""
        if self._unseen:
            numbers = torch.stack([t.double() for t in self._unseen]).tolist()
            self._unseen.clear()
            for loss, norm in zip(numbers[::2], numbers[1::2], strict=True):
                self._count(loss, norm)
        return self.tally

    def _count(self, loss: float, norm: float) -> bool:
        """Enter a step into the tally; whether it was finite."""
        if not math.isfinite(loss + norm):
            self.tally[0] += 1
            self.tally[1] += 1
            return False
        self.tally[0] = 0.0
        self.tally[2] += loss
        self.tally[3] += 1
        return True
