"""An exponential moving average of the weights: what is validated and kept."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..core import refresh
from .sharding import local


class Ema:
    r"""A second copy of a module whose parameters follow the first, ``e <- d e + (1 - d) p``.

    The decay grows as ``d = min(decay, (1 + step) / (10 + step))``, so that the start is soon forgotten.
    Buffers are copied, not averaged, by :meth:`sync`, and what is derived from weights is derived anew. Cost: one fused multiply-add for
    each parameter.

    Reference: Acceleration of stochastic approximation by averaging, Polyak, Juditsky, 1992; the warm-up is TensorFlow's.

    Arguments:
        module: what is trained (an objective).
        part: the part of it (a flow) whose averaged twin is :attr:`part`.
        decay: the largest decay; 0 gives the weights themselves.
    """

    def __init__(self, module: nn.Module, part: nn.Module, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"Ema: expected a decay in [0, 1), got {decay}")
        self.module, self.part = twins(module, part)
        self.module.eval().requires_grad_(False)
        self.decay = decay
        self.follow(module)

    def follow(self, module: nn.Module) -> None:
        """Average the parameters of this module from now on, one like the first, with the same parameters trainable."""
        self._pairs = list(zip(self.module.buffers(), module.buffers(), strict=True))
        # lists by dtype: foreach kernels are fast on lists of one dtype
        self._groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for e, p in zip(self.module.parameters(), module.parameters(), strict=True):
            if p.requires_grad:
                averages, currents = self._groups.setdefault(p.dtype, ([], []))
                averages.append(local(e.detach()))
                currents.append(local(p.detach()))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the parameters after step number ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        for average, current in self._groups.values():
            torch._foreach_lerp_(average, current, 1 - decay)

    @torch.no_grad()
    def sync(self) -> None:
        """Copy the buffers, and bring those of :attr:`part` that follow from the weights up to date with its own."""
        for average, current in self._pairs:
            average.copy_(current)
        refresh(self.part)


def twins(module: nn.Module, part: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A copy of a module, and what stands in it for a part of the module.

    Raises:
        ValueError: it is no part of it.
    """
    copies: dict[int, nn.Module] = {}
    twin = copy.deepcopy(module, copies)
    if id(part) not in copies:
        raise ValueError("fit: the objective does not hold the flow that is fitted; keep it as an attribute")
    return twin, copies[id(part)]
