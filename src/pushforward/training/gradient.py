"""Loss and gradient of a step, by torch's own calls or, where a run is long enough, by compiled code."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core import Chain
from .batches import Batch
from .clock import Clock
from .compiling import BEST, FASTER, Ledger, Look, Outlook, Watch
from .display import Display
from .processes import Processes
from .state import Counters

Compile = Literal["auto", "yes", "no"]

SPAN = 1.0  # seconds of steps from which their speed is taken; under a time limit this share of it, if that is less:
SHARE = 0.03
CHANGES = 2  # later steps that may bring graphs of their own; one that always does is not worth compiling


class Gradient:
    """The loss of a batch; its gradient is left in the parameters.

    With ``"auto"`` the first steps are timed as they are, and one of them is looked at. If compiling saves clearly more time than it
    takes, the next steps run compiled and are timed as well, and if they are not faster, the others run as before. What was decided
    stands in ``now.compiled``, and a run that goes on takes it from there. Where compiling fails, a sentence says so and the step is
    repeated without; the run does not end.

    Compiled is one graph with static shapes, if the objective can be had in one. It draws the same random numbers as without, so that
    losses differ by rounding only. Validation is not compiled.

    Arguments:
        model: the objective, as wrapped for many processes.
        choice: what was asked for.
        now: the counters; ``now.compiled`` is kept up to date.
        clock: tells what is left to do.
        processes: one, else nothing is compiled.
        autocast: around the loss, not around backward.
        display: for what is decided.
        seed: of the random numbers, which are a function of it and the step.
        backend: of torch.compile.
        ledger: what is known of earlier runs; that of the compiler's cache by default.

    Attributes:
        settled: whether all is decided.
    """

    def __init__(
        self,
        model: nn.Module,
        choice: Compile,
        now: Counters,
        clock: Clock,
        processes: Processes,
        autocast: AbstractContextManager[Any],
        display: Display,
        seed: int,
        backend: str | Callable[..., Any] = "inductor",
        ledger: Ledger | None = None,
    ):
        self.model, self.now, self.clock, self.processes, self.display = model, now, clock, processes, display
        self._autocast, self._seed, self._backend, self._ledger = autocast, seed, backend, ledger
        self.settled, self._turned = True, False
        self._compiling = False
        self._compiled: Callable[..., Tensor] | None = None
        self._whole, self._steps, self._graphs, self._changes = True, 0, 0, 0
        self._watch = Watch(SPAN if clock.limit is None else min(SPAN, SHARE * clock.limit))
        self._before: tuple[str, float] | None = None  # name and seconds of a step, if a trial is on
        decided = now.compiled if choice == "auto" else choice
        obstacle = self._obstacle()
        if obstacle and decided != "no":
            if choice == "yes":
                display.say(f"train.compile: {obstacle}; training is not compiled")
            decided = "no"
        if decided == "" and clock.limit is not None and not BEST.pays(clock.limit):
            decided = "no"
        now.compiled = decided
        if decided == "yes":
            self._start()
        elif decided == "":
            self.settled = False

    def __call__(self, rows: Batch, share: Tensor | float) -> Tensor:
        """The loss, detached.

        Arguments:
            rows: x, context and weight.
            share: what the loss counts among those of all processes.
        """
        if self._compiling:
            return self._by_compiled(rows, share)
        if self.settled:
            return self._run(self.model, rows, share)
        if self._watch.enough:
            return self._decide(rows, share)
        loss, seconds = self._timed(self.model, rows, share)
        self._steps += 1
        if self._steps > 1:  # the first one is a slow one
            self._watch.add(seconds)
        return loss

    def news(self) -> bool:
        """Whether steps have become compiled ones or normal ones since the last time."""
        turned, self._turned = self._turned, False
        return turned

    def _run(self, call: Callable[..., Tensor], rows: Batch, share: Tensor | float) -> Tensor:
        self.processes.seed(self._seed, self.now.step, self.processes.rank)
        with self._autocast:
            loss = call(*rows)
        self.processes.accelerator.backward(loss * share)
        return loss.detach()

    def _timed(self, call: Callable[..., Tensor], rows: Batch, share: Tensor | float) -> tuple[Tensor, float]:
        self._wait()
        began = time.perf_counter()
        loss = self._run(call, rows, share)
        self._wait()
        return loss, time.perf_counter() - began

    def _decide(self, rows: Batch, share: Tensor | float) -> Tensor:
        """A step as it is, looked at; then it is known whether the next one will be compiled."""
        step, left = self._watch.typical, self.clock.steps_left(self.now)
        if not BEST.pays(left * step):
            self._settle("no")
            return self._run(self.model, rows, share)
        try:
            with Look(self.processes.device) as look:
                loss = self._run(self.model, rows, share)
        except Exception:  # what can't be looked at is not compiled; what fails by itself does so again
            self._drop()
            self._settle("no")
            return self._run(self.model, rows, share)
        self._ledger = self._ledger or Ledger()
        known = self._ledger.outlook(look.name)
        outlook = known or look.outlook(step)
        if outlook.pays(left * step):
            self.display.note(sentence(outlook, known is not None, left, step))
            self.now.compiled, self._before = "yes", (look.name, step)
            self._start()
        else:
            self._settle("no")
        return loss

    def _start(self) -> None:
        self._compiling, self._compiled = True, None
        self._watch, self._steps = Watch(SPAN), 0

    def _by_compiled(self, rows: Batch, share: Tensor | float) -> Tensor:
        """A compiled step; if it fails, the same one as it is."""
        try:
            if self._compiled is None:
                # torch's own random numbers: the noise is that of a run that is not compiled, and fine enough for float64
                given: dict[str, Any] | None = {"fallback_random": True} if self._backend == "inductor" else None
                self._compiled = torch.compile(self.model, fullgraph=self._whole, dynamic=False, backend=self._backend, options=given)
            if self._steps > 2 and self._before is None:
                loss = self._run(self._compiled, rows, share)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the compiler, about itself
                    loss, seconds = self._timed(self._compiled, rows, share)
                self._after(seconds)
        except Exception as error:
            self._drop()
            if self._whole and isinstance(error, torch._dynamo.exc.Unsupported):
                self._whole = False  # in pieces, then
                self._start()
                return self._by_compiled(rows, share)
            self._give_up(f"compiling failed ({_first_line(error)})")
            return self._run(self.model, rows, share)
        self._steps += 1
        self._count_graphs()
        return loss

    def _after(self, seconds: float) -> None:
        """What the time of a compiled step says."""
        if self._steps == 0:
            self._seconds, self._turned = seconds, True
            if self._before is None:
                self.display.note(f"compiled in {seconds:.0f} s")
        elif self._before is not None:
            if self._steps > 1:
                self._watch.add(seconds)
            if self._watch.enough:
                self._judge(*self._before)

    def _judge(self, name: str, before: float) -> None:
        """The end of the trial."""
        ratio = before / self._watch.typical
        assert self._ledger is not None
        self._ledger.enter(name, self._seconds, ratio)
        self._before = None
        if ratio >= FASTER:
            self.display.note(f"compiled in {self._seconds:.0f} s: {ratio:.1f} times as fast")
            self._settle("yes")
        else:
            self._give_up(f"compiled in {self._seconds:.0f} s, but {ratio:.2f} times as fast")

    def _count_graphs(self) -> None:
        """Give up on an objective whose code is another one in each step."""
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        self._changes += self._steps > 1 and graphs > self._graphs
        self._graphs = graphs
        if self._changes > CHANGES:
            self._give_up("the objective's code changes from step to step")

    def _give_up(self, why: str) -> None:
        self.display.say(f"note: {why}; training goes on without compiling")
        self._compiling, self._compiled, self._before, self._turned = False, None, None, True
        self._settle("no")

    def _drop(self) -> None:
        """What half a step may have left."""
        for parameter in self.model.parameters():
            parameter.grad = None

    def _settle(self, decision: Compile) -> None:
        self.now.compiled, self.settled = decision, True

    def _wait(self) -> None:
        if self.processes.device.type == "cuda":
            torch.cuda.synchronize(self.processes.device)

    def _obstacle(self) -> str:
        """Why nothing is compiled, whatever it brings."""
        if self.processes.count > 1:
            return "many processes share the steps"
        if any(isinstance(m, Chain) and m.memory != "full" for m in self.model.modules()):
            return "layers that save memory (model.memory) are run one by one"
        return ""


def sentence(outlook: Outlook, known: bool, left: float, step: float) -> str:
    """What is told before compiling.

    Example::

        >>> sentence(Outlook(seconds=25.0, ratio=2.0), False, left=8000, step=0.03)
        'compiling: about 25 s, then about 2.0 times as fast; 8,000 steps left at 30 ms'
    """
    source = ", as measured in an earlier run" if known else ""
    return (
        f"compiling: about {outlook.seconds:.0f} s, then about {outlook.ratio:.1f} times as fast{source}; "
        f"{left:,.0f} steps left at {1000 * step:.3g} ms"
    )


def _first_line(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:160]}" if words else type(error).__name__
