"""The optimizer's step, behind a guard: what is not finite never reaches the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Guard:
    """Clips the gradient's norm and steps, unless the loss or the gradient is not finite: then the step is skipped.

    The decision stays on the device (the fused kernel reads it, as it does from a GradScaler), so nothing waits for a GPU.

    Attributes:
        tally: on the device: skipped steps in a row, skipped steps, sum of the finite losses, their number.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], clip: float, device: torch.device):
        self.optimizer = optimizer
        self.parameters = list(parameters)
        self.clip = clip
        self.tally = torch.zeros(4, dtype=torch.float64, device=device)
        self._zero = torch.zeros((), dtype=torch.float64, device=device)

    def step(self, loss: Tensor) -> None:
        """One step down the gradient in ``parameters``, which is then dropped; ``loss`` must be the same on every process."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        finite = (loss + norm).isfinite()
        self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad()
        good = finite.double()
        loss = torch.where(finite, loss.double(), self._zero)
        streak, skipped, total, count = self.tally.unbind()
        self.tally = torch.stack([(streak + 1) * (1 - good), skipped + 1 - good, total + loss, count + good])
