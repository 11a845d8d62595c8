"""Which way to step down a gradient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "muon"]


class Joint(torch.optim.Optimizer):
    """Several optimizers of different parameters as one, which share their memory of gradients."""

    found_inf: Tensor | None = None

    def __init__(self, *parts: torch.optim.Optimizer):
        super().__init__([parameter for part in parts for group in part.param_groups for parameter in group["params"]], {})
        self.parts, self.param_groups = parts, [group for part in parts for group in part.param_groups]
        self.state = defaultdict(dict)
        for part in parts:
            part.state = self.state

    def step(self, closure: Any = None) -> None:
        if self.found_inf is not None and self.found_inf.item():
            return
        for part in self.parts:
            part.step()


def optimizer_of(name: OptimizerName, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW for all parameters, or Muon for matrices and AdamW for the rest.

    Muon steps along the momentum's nearest orthogonal matrix, by five steps of Newton and Schulz: 10 products of each weight (n, m) with
    itself, whatever the batch. The steps are scaled to be as long as those of AdamW, so that a learning rate means the same for both.

    References: Decoupled Weight Decay Regularization, Loshchilov, Hutter, 2019, arXiv:1711.05101; Muon is Scalable for LLM Training, Liu,
    Su and others, 2025, arXiv:2502.16982.
    """
    every = list(parameters)
    matrices = [p for p in every if name == "muon" and p.dim() == 2 and min(p.shape) > 1]
    rest = [p for p in every if not any(p is matrix for matrix in matrices)]
    if not matrices:
        return torch.optim.AdamW(every, lr=lr, weight_decay=weight_decay, fused=True)
    by_muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Joint(by_muon, torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, fused=True)) if rest else by_muon
