"""Which way to step down a gradient."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "muon"]


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix of each weight's momentum, for parameters ``(n, m)``.

    ``U V^T`` of the singular value decomposition is come near to by five steps of Newton and Schulz, 15 products of each weight with itself
    whatever the batch; weights of one shape go together. Times ``0.2 sqrt(max(n, m))`` a step is as long as one of AdamW, so that one
    learning rate suits both.

    ``torch.optim.Muon`` is the same in bfloat16 everywhere; here that is so on a GPU, and a CPU has float32: one without instructions for
    bfloat16 took 17 times as long for a step.

    Reference: Muon is Scalable for LLM Training, Liu, Su and others, 2025, arXiv:2502.16982.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, weights in by_shape.items():
                steps = orthogonal(torch.stack([self._momentum(p, group["momentum"]) for p in weights]))
                for p, step in zip(weights, steps):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=0.2 * math.sqrt(max(shape)) * group["lr"])

    def _momentum(self, p: nn.Parameter, decay: float) -> Tensor:
        """Nesterov's, of the gradient."""
        assert p.grad is not None
        buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
        return p.grad.lerp(buffer.lerp_(p.grad, 1 - decay), decay)


def orthogonal(matrices: Tensor) -> Tensor:
    """About ``U V^T`` of each ``U S V^T``, ``(K, n, m)``: singular values come to between 0.7 and 1.2."""
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else matrices.dtype)
    x = x.mT if x.shape[1] > x.shape[2] else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.mT if matrices.shape[1] > matrices.shape[2] else x).to(matrices.dtype)


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
    """AdamW for all parameters, or :class:`Muon` for matrices and AdamW for the rest.

    Reference: Decoupled Weight Decay Regularization, Loshchilov, Hutter, 2019, arXiv:1711.05101.
    """
    every = list(parameters)
    matrices = [p for p in every if name == "muon" and p.dim() == 2 and min(p.shape) > 1]
    rest = [p for p in every if not any(p is matrix for matrix in matrices)]
    if not matrices:
        return torch.optim.AdamW(every, lr=lr, weight_decay=weight_decay, fused=True)
    by_muon = Muon(matrices, lr, weight_decay)
    return Joint(by_muon, *([torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, fused=True)] if rest else []))
