"""Loss and gradient of a step, by torch's own calls or by compiled code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core import Chain, Flow
from ..transforms import Coupling
from .display import Display
from .processes import Processes

Compile = Literal["auto", "yes", "no"]
LONG = 300.0  # seconds of training from which compiling is worth its half minute


def settle(asked: str, before: str, flow: Flow, model: nn.Module, processes: Processes, display: Display) -> str:
    """Whether steps are to run compiled: "yes", "no", or "" if that depends on how long the run will be.

    ``before`` is what stands in the checkpoint. "auto" compiles where it brings something (benchmarks/RESULTS.md): on a GPU, and for
    couplings of vectors that have no kernel, whose steps become a third faster. Beside kernels and convolutions little is left.
    """
    obstacle = ""
    if processes.count > 1:
        obstacle = "many processes share the steps"
    elif any(isinstance(module, Chain) and module.memory != "full" for module in model.modules()):
        obstacle = "layers that save memory (model.memory) are run one by one"
    if obstacle and asked == "yes":
        display.say(f"train.compile: {obstacle}; training is not compiled")
    if obstacle:
        return "no"
    couplings = len(flow.shape) == 1 and any(isinstance(module, Coupling) and module.dense is None for module in flow.modules())
    decided = before if asked == "auto" else asked
    return decided or ("" if couplings or processes.device.type == "cuda" else "no")


class Gradient:
    """The loss of a batch; its gradient is left in the parameters.

    Compiled code has static shapes and draws the same random numbers, so that losses differ by rounding only. Where compiling fails, a
    sentence says so, and this step and the others run without.

    Arguments:
        model: the objective, as wrapped for many processes.
        processes: which seed the random numbers, a function of ``seed``, step and rank.
        display: for what is to be told.
        seed: of the random numbers.
        backend: of torch.compile.

    Attributes:
        compiled: whether steps run compiled, from the next one on.
        precision: of the nets from the next step on, "no" for that of their weights or "bf16" for autocast around the loss (not around
            backward).
    """

    def __init__(
        self,
        model: nn.Module,
        processes: Processes,
        display: Display,
        seed: int,
        backend: str | Callable[..., Any] = "inductor",
    ):
        self.model, self.processes, self.display = model, processes, display
        self._seed, self._backend = seed, backend
        self._code: Callable[..., Tensor] | None = None
        self.compiled = self._turned = False
        self.precision = "no"

    def __call__(self, step: int, batch: tuple[Any, ...], share: Tensor | float) -> Tensor:
        """The loss, detached.

        Arguments:
            step: its number.
            batch: what the objective takes.
            share: what the loss counts among those of all processes.
        """
        if self.compiled:
            try:
                if self._code is not None:
                    return self._run(self._code, step, batch, share)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the compiler, about itself
                    # torch's own random numbers: the noise is that of a run that is not compiled, and fine enough for float64
                    options: dict[str, Any] | None = {"fallback_random": True} if self._backend == "inductor" else None
                    self._code, self._turned = torch.compile(self.model, dynamic=False, backend=self._backend, options=options), True
                    return self._run(self._code, step, batch, share)
            except Exception as error:
                self.compiled, self._turned = False, True
                self.forget()  # what half a step may have left
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
                self.display.say(f"note: compiling failed ({reason}); training goes on without compiling")
        return self._run(self.model, step, batch, share)

    def turned(self) -> bool:
        """Whether steps have become compiled ones or normal ones since the last time this was asked."""
        turned, self._turned = self._turned, False
        return turned

    def forget(self) -> None:
        """No gradient is left in the parameters."""
        for parameter in self.model.parameters():
            parameter.grad = None

    def _run(self, call: Callable[..., Tensor], step: int, batch: tuple[Any, ...], share: Tensor | float) -> Tensor:
        self.processes.seed(self._seed, step, self.processes.rank)
        with torch.autocast(self.processes.device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext():
            loss = call(*batch)
        self.processes.accelerator.backward(loss * share)
        return loss.detach()
