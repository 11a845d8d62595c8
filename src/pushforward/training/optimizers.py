"""Which way to step down a gradient."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

OptimizerName = Literal["adamw", "muon", "soap"]


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


class SOAP(torch.optim.Optimizer):
    r"""Adam in the eigenbasis of each weight's Shampoo preconditioner, for parameters ``(n, m)``.

    ``L`` and ``R`` are running means of ``G G^T`` and ``G^T G`` of gradients ``G``, with eigenvectors ``Q_L`` and ``Q_R``; Adam goes by
    ``Q_L^T G Q_R``, and its step is turned back. A step of power iteration with a QR decomposition brings the bases after every
    ``every`` steps. The first gradient makes the bases only. Of a side that is more than ``ratio`` times as long as the other one, or
    longer than ``longest``, the basis is the usual one, which costs nothing.

    A step is six products of a weight with a square matrix, whatever the batch.

    Reference: SOAP: Improving and Stabilizing Shampoo using Adam, Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson, Kakade, 2024,
    arXiv:2409.11321.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.95, 0.95),
        every: int = 10,
        ratio: float = 2.0,
        longest: int = 2048,
    ):
        options = {"lr": lr, "weight_decay": weight_decay, "betas": betas, "every": every, "ratio": ratio, "longest": longest}
        super().__init__(parameters, options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, self.state[p], group)

    def _step(self, p: nn.Parameter, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        if not state:
            most = min(group["longest"], group["ratio"] * min(p.shape))
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
            for side in (0, 1):
                if p.shape[side] <= most:
                    state[f"gram{side}"] = gram(g, side) * (1 - beta2)
                    state[f"basis{side}"] = torch.linalg.eigh(state[f"gram{side}"])[1].flip(1)
            return
        state["step"] = state["step"].cpu() + 1
        steps = int(state["step"])
        turned = turn(g, state)
        momentum = state["exp_avg"].lerp_(turned, 1 - beta1)
        square = state["exp_avg_sq"].lerp_(turned.square(), 1 - beta2)
        rate = group["lr"] * math.sqrt(1 - beta2**steps) / (1 - beta1**steps)
        p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(turn(momentum / (square.sqrt() + 1e-8), state, back=True), alpha=rate)
        for side in (0, 1):
            if f"gram{side}" in state:
                state[f"gram{side}"].lerp_(gram(g, side), 1 - beta2)
        if steps % group["every"] == 0:
            self._bring_after(state)

    def _bring_after(self, state: dict[str, Any]) -> None:
        """The bases to where their matrices have gone; directions are sorted by what falls on them."""
        momentum = turn(state["exp_avg"], state, back=True)
        for side in (0, 1):
            if f"gram{side}" in state:
                grown = state[f"gram{side}"] @ state[f"basis{side}"]
                order = (state[f"basis{side}"] * grown).sum(0).argsort(descending=True)
                state["exp_avg_sq"] = state["exp_avg_sq"].index_select(side, order)
                state[f"basis{side}"] = torch.linalg.qr(grown.index_select(1, order))[0]
        state["exp_avg"] = turn(momentum, state)


def gram(g: Tensor, side: int) -> Tensor:
    """``g g^T``, or ``g^T g`` of side 1."""
    return g @ g.T if side == 0 else g.T @ g


def turn(g: Tensor, state: dict[str, Any], back: bool = False) -> Tensor:
    """``Q_L^T g Q_R``, or ``Q_L g Q_R^T``."""
    left, right = state.get("basis0"), state.get("basis1")
    g = g if left is None else (left if back else left.T) @ g
    return g if right is None else g @ (right.T if back else right)


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
    """AdamW for all parameters, or :class:`Muon` or :class:`SOAP` for matrices and AdamW for the rest.

    Reference: Decoupled Weight Decay Regularization, Loshchilov, Hutter, 2019, arXiv:1711.05101.
    """
    every = list(parameters)
    matrices = [p for p in every if name != "adamw" and p.dim() == 2 and min(p.shape) > 1]
    rest = [p for p in every if not any(p is matrix for matrix in matrices)]
    if not matrices:
        return torch.optim.AdamW(every, lr=lr, weight_decay=weight_decay, fused=True)
    by_matrix = (Muon if name == "muon" else SOAP)(matrices, lr, weight_decay)
    return Joint(by_matrix, *([torch.optim.AdamW(rest, lr=lr, weight_decay=weight_decay, fused=True)] if rest else []))
