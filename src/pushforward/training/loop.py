"""The one training loop: whatever the objective eats and whatever it is judged by, to the weights that did best."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..core import Flow, with_derived_state
from ..objectives import FlowMatching
from ..signals import StopSignals
from ..words import duration
from .allocator import keep_freed_memory
from .batches import Batches, Validation
from .checkpoint import Checkpoint, Learner, TrainerState, weights
from .checkpointer import Checkpointer
from .clock import Clock
from .display import Display
from .ema import Ema, twins
from .gradient import LONG, Gradient, settle
from .guard import NonFiniteGuard
from .history import History, Stop, record
from .lock import reserve
from .notices import announce, farewell, greet, keep_choice
from .optimizers import OptimizerName, optimizer_of
from .precision import Precision, known_precision, try_bfloat16
from .processes import Processes
from .schedule import Plan
from .sharding import shard
from .starvation import Threads

if TYPE_CHECKING:
    from .directory import Directory

STREAK = 5  # skipped steps in a row that call for a roll-back
ROLLBACKS = 5  # roll-backs before giving up
TRIAL = 20  # steps after which it is known how long the others will take
LOOK = 10  # steps between looks at the numbers on a GPU; a CPU is looked at in every step


def optimize(
    flow: Flow,
    objective: nn.Module,
    batches: Batches,
    validate: Validation,
    processes: Processes,
    plan: Plan,
    *,
    lr: float,
    clip: float,
    ema: float,
    seed: int,
    weight_decay: float = 1e-4,
    optimizer: OptimizerName = "adamw",
    patience: int = 0,
    precision: Precision = "no",
    compile: str = "no",
    time_limit: float | None = None,
    run: Directory | None = None,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[nn.Module, int, float], None] | None = None,
    bits: int | None = None,
    began: float | None = None,
) -> History:
    """Minimise ``objective(*batches(step, progress))`` by that optimizer; afterwards the flow holds the averaged weights that did best.

    What it does beside the steps (average, schedule, skipped steps and roll-backs, checkpoints, resuming, processes, signals, the time
    limit) is told at :func:`pushforward.training.fit`, whose arguments these are.

    Arguments:
        flow: the part of the objective that is kept.
        objective: the loss; moved to the processes' device.
        batches, validate: what it eats, and what it is judged by.
        processes: this process among others.
        plan: the course of a fresh run; a resumed one has its own.
        bits: numbers of an image; then losses are shown in bits per dimension.
        began: ``time.perf_counter()`` from which time counts; now, if not given.

    Raises:
        ValueError: a checkpoint that is damaged or of another model.
        FloatingPointError: training diverges whatever the learning rate.
        OSError: a checkpoint could not be written; the previous one is kept.

    Example::

        >>> from pushforward.training.batches import RowValidation
        >>> from pushforward.training.processes import Processes
        >>> from pushforward.training.schedule import Plan
        >>> class Simulator(Batches):
        ...     batch = 256
        ...
        ...     def __call__(self, step, progress):
        ...         return (2 + torch.randn(256, 2, generator=torch.Generator().manual_seed(step)),)
        >>> flow = Flow(Normal((2,)), Elementwise(Affine(), (2,)))
        >>> valid = RowValidation(Rows(2 + torch.randn(100, 2)), 0, Processes())
        >>> plan = Plan(asked=None, steps=200, every=50, warmup=10, start=10)
        >>> optimize(flow, MaximumLikelihood(flow), Simulator(), valid, Processes(), plan, lr=1e-2, clip=10.0, ema=0.99, seed=0).steps
        200
    """
    began = time.perf_counter() if began is None else began
    keep_freed_memory()
    objective.to(processes.device).train()
    look = 1 if processes.device.type == "cpu" else LOOK
    matching = isinstance(objective, FlowMatching)

    held = reserve(run.path) if run and processes.main else nullcontext()
    with (
        held,
        processes.forked(),
        StopSignals() as signals,
        Display(progress, processes.main, bits, matching) as display,
        processes.bound() as last,
        Threads() as threads,
    ):
        saved = Checkpoint.load(run.state) if run and resume and run.state.exists() else None
        now = saved.counters if saved else TrainerState(plan)
        if saved and now.plan.change(plan.asked, time_limit, now.step, now.seconds):
            now.waited = 0  # patience begins anew
        records = run.rewind(now.step if saved else -1) if run and processes.main else []
        if not saved:
            processes.seed(seed, "initialize")
            batches.begin(flow)
            processes.share(objective)
        average, trained = Ema(objective, flow, ema), objective
        if processes.sharded:  # a copy of the objective; the flow itself stays whole, for those who look at it
            objective, trained = twins(objective, flow)
            shard(objective, trained)
            shard(average.module, average.part)
            average.follow(objective)
            flow.cpu()
        derived = with_derived_state(trained)
        trainable = [p for p in objective.parameters() if p.requires_grad]
        stepper = optimizer_of(optimizer, trainable, lr, weight_decay)
        guard = NonFiniteGuard(stepper, trainable, clip, now.tally, deferred=look > 1)
        learner = Learner(objective, average, stepper)
        if saved:
            learner.restore(saved.now, saved.best)
            greet(now, time_limit, patience, display)
        now.threads = torch.get_num_threads()
        checkpointer = Checkpointer(learner, now, run, processes, saved)
        last.append(checkpointer.rescue)
        clock = Clock(began, now, time_limit, processes)
        model = processes.wrap(objective)
        gradient = Gradient(model, processes, display, seed)
        now.compiled = settle(compile, now.compiled, flow, model, processes, display)
        gradient.compiled = now.compiled == "yes"
        now.precision = known_precision(precision, now.precision, flow, now.compiled, processes)
        gradient.precision = now.precision or "no"
        stopped: Stop | None = None

        while True:
            validating = now.step % now.plan.every == 0 and now.validated < now.step
            if validating or now.step % look == 0 or now.step >= now.plan.end:
                interrupted, due = clock.read(now, signals.received is not None, checkpointer.due)
                now.tally = guard.look()  # a GPU is waited for
                if now.tally[0] >= STREAK:
                    _roll_back(now, learner, checkpointer, display)
                left = clock.left(now)
                if now.compiled == "" and now.precision and now.step >= TRIAL and left is not None:
                    now.compiled, gradient.compiled = ("yes", True) if left > LONG else ("no", False)
                    if gradient.compiled:
                        display.note(f"compiling, since about {duration(left)} of training are left")
                keep_choice(now, checkpointer.run)
                if clock.decide(now, first=True):
                    announce(now.plan, time_limit, checkpointer.run, display)
                if interrupted:
                    stopped = "interrupted"
                elif now.step >= now.plan.end:
                    stopped = "steps"
                elif clock.late(now):
                    stopped = "time limit"

                if (validating or stopped) and now.validated < now.step and stopped != "interrupted":
                    average.sync()
                    with torch.no_grad():
                        figures = validate(average.module, now.plan.progress(now.step))
                    checkpointer.validated(figures["valid"])
                    records.append(record(now, figures, lr, clock.rate(now, batches.batch)))
                    if checkpointer.run:
                        checkpointer.run.log(records[-1])
                    clock.validated(now)
                    if watch and processes.sharded:
                        flow.load_state_dict(weights(average.part))
                    if watch and processes.main:
                        watch(flow if processes.sharded else average.part, now.step, 1.0 if stopped else min(1.0, now.step / now.plan.end))
                    if not stopped and clock.decide(now):
                        announce(now.plan, None, checkpointer.run, display)
                if patience and now.waited >= patience and not stopped:
                    stopped = "patience"
                if stopped:
                    break
                if due:
                    checkpointer.write()
                if display.due:
                    display.update(now, clock.rate(now, batches.batch), left)

            start = time.perf_counter()
            for group in stepper.param_groups:
                group["lr"] = lr * now.factor * now.plan.rate(now.step)
            for part in derived:
                part.refresh()
            batch = batches(now.step, now.plan.progress(now.step))
            share = batches.share(batch)
            if now.precision == "" and now.step >= TRIAL:
                now.precision, said = try_bfloat16(gradient, flow, now.step, batch, share)
                clock.restart(now)
                if said:
                    display.note(said)
            loss = gradient(now.step, batch, share)
            guard.step(processes.mean(loss))
            average.update(now.step)
            now.step += 1
            if told := threads.stepped(time.perf_counter() - start, fixed=gradient.compiled or look > 1):
                display.note(told)
            if gradient.turned():
                now.compiled = "yes" if gradient.compiled else "no"
                clock.restart(now)
                checkpointer.write()

        checkpointer.write()
        processes.wait()  # else who goes on at once may find the checkpoint before
        farewell(stopped, now, signals.received, checkpointer.run, display)
        if not checkpointer.best:
            average.sync()
        flow.load_state_dict(checkpointer.best or weights(average.part))
        flow.to(processes.device).eval()
        if checkpointer.run and not checkpointer.best and stopped != "interrupted":
            checkpointer.run.save(flow)
    compiled = now.compiled == "yes"
    return History(now.step, now.best, now.best_step, stopped, now.seconds, now.rollbacks, int(now.tally[1]), records, compiled)


def _roll_back(now: TrainerState, learner: Learner, checkpointer: Checkpointer, display: Display) -> None:
    """Back to the last good weights, at half the rate; the steps themselves go on."""
    if now.rollbacks == ROLLBACKS:
        raise FloatingPointError(
            f"fit: at step {now.step} the loss or its gradient is still not finite, after {ROLLBACKS} roll-backs to good weights, each at "
            "half the learning rate; look for extreme values in the data, or lower train.lr or train.clip"
        )
    learner.restore(checkpointer.good)
    now.tally[0] = 0.0
    now.rollbacks, now.factor = now.rollbacks + 1, now.factor / 2
    display.say(
        f"step {now.step:,}: the loss or its gradient was not finite {STREAK} times in a row; "
        f"back to the last good weights, at {now.factor:g} times the learning rate"
    )
