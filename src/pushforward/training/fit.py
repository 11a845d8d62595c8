"""The training loop: from rows to the weights that did best on the validation rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from ..core import Flow
from ..objectives import MaximumLikelihood
from .allocator import keep_freed_memory
from .batches import Batches, Validation
from .clock import Clock
from .display import Display
from .ema import Ema
from .gradient import Compile, Gradient
from .guard import Guard
from .history import History, Stop, record
from .keeper import Keeper
from .notices import announce, farewell, greet, keep_choice
from .processes import Processes
from .schedule import Plan, default_interval, default_steps
from .signals import StopSignals
from .state import Counters, Learner, State, weights

if TYPE_CHECKING:
    from ..data import Rows
    from .run import Run

STREAK = 5  # skipped steps in a row that call for a roll-back
ROLLBACKS = 5  # roll-backs before giving up
LOOK = 10  # steps between looks at the numbers on a GPU; a CPU is looked at in every step


def fit(
    flow: Flow,
    train: Rows,
    valid: Rows,
    *,
    steps: int | None = None,
    batch: int = 512,
    lr: float = 5e-3,
    warmup: int = 100,
    weight_decay: float = 1e-4,
    clip: float = 10.0,
    ema: float = 0.999,
    every: int | None = None,
    patience: int = 10,
    precision: Literal["no", "bf16"] = "no",
    compile: Compile = "auto",
    flip: bool = False,
    time_limit: float | None = None,
    seed: int = 0,
    objective: nn.Module | None = None,
    run: Run | None = None,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[nn.Module, int, float], None] | None = None,
) -> History:
    """Fit the flow by AdamW; afterwards it holds the averaged weights that did best on the validation rows.

    The learning rate warms up linearly and falls to zero along half a cosine. Learning rate, rows and random numbers of a step
    are functions of ``(seed, step)``, and on a CPU a run that was stopped and resumed ends with the same weights to the bit.
    A step whose loss or gradient is not finite is skipped; five in a row bring back the last good weights and halve the rate.
    Ctrl-C and SIGTERM stop at a checkpoint. Started by ``torchrun`` or ``accelerate launch``, many processes share each batch.

    Arguments:
        flow: the model; moved to the device.
        train, valid: rows in data units: ``x (N, ...)``, ``context (N, ...)`` and ``weight (N,)``, the last two or ``None``.
            Whole numbers (images) enter the flow in the dtype of its parameters.
        steps: of the optimizer; ``None`` takes what fits into ``time_limit``, or else :func:`default_steps` of the data.
        batch: rows of a step, over all processes.
        lr: the largest learning rate.
        warmup: steps to get there.
        weight_decay: of AdamW.
        clip: the largest norm of the gradient.
        ema: decay of the average of the weights.
        every: steps between validations; ``None`` for about 50 in a run.
        patience: validations without improvement before stopping; 0 never stops early.
        flip: mirror each image of a batch left to right with probability 1/2; validation images stay as they are.
        precision: of the nets: ``"no"`` for the weights' own, ``"bf16"`` for bfloat16 autocast.
        compile: the loss and its gradient by ``torch.compile``: ``"yes"``, ``"no"``, or ``"auto"`` where the run is long enough to win.
            What was decided is written to the run's config.toml; where compiling fails, training goes on without.
        time_limit: seconds, start-up and validations included; the schedule is fitted to it.
        seed: of rows and random numbers.
        objective: a module ``(x, context, weight) -> loss`` that holds the flow; maximum likelihood by default.
        run: where checkpoints, weights and metrics are written.
        resume: go on from the run's checkpoint, if it has one.
        progress: show progress on stderr.
        watch: called after each validation with the averaged flow, the step and the share of the run that is done.

    Raises:
        ValueError: impossible options, no rows, or a checkpoint that is damaged or of another model.
        FloatingPointError: training diverges whatever the learning rate.
        OSError: a checkpoint could not be written; the previous one is kept.

    Example::

        >>> flow = Flow(Normal((2,)), Elementwise(Affine(), (2,)))
        >>> fit(flow, Rows(torch.randn(900, 2)), Rows(torch.randn(100, 2)), steps=500).stopped
        'steps'
    """
    began = time.perf_counter()
    _check(train, valid, run, resume, time_limit, precision, compile, steps=steps, batch=batch, lr=lr, clip=clip, every=every)
    if not (weight_decay >= 0 and warmup >= 0 and 0 <= ema < 1):
        raise ValueError(f"fit: expected weight_decay >= 0, warmup >= 0 and 0 <= ema < 1, got {weight_decay}, {warmup} and {ema}")
    keep_freed_memory()
    processes = Processes()
    objective = (objective or MaximumLikelihood(flow)).to(processes.device).train()
    dtype = flow.entry.dtype
    batches, validate = Batches(train, batch, seed, processes, dtype, flip), Validation(valid, seed, processes, dtype)
    bits = None if train.x.is_floating_point() else train.x[0].numel()  # images: the display speaks of bits per dimension
    autocast = torch.autocast(processes.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    look = 1 if processes.device.type == "cpu" else LOOK

    saved = State.load(run.state) if run and resume and run.state.exists() else None
    plan = _plan(steps, batches.batch, len(train), validate.rows, warmup, every, time_limit)
    now = saved.counters if saved else Counters(plan)
    if steps not in (None, now.plan.steps, now.plan.asked):  # more or fewer than before
        now.plan.asked = now.plan.steps = steps
    records = run.rewind(now.step if saved else -1) if run and processes.main else []

    with processes.forked(), StopSignals() as signals, Display(progress, processes.main, bits) as display:
        if not saved:
            processes.seed(seed, "initialize")
            flow.initialize(*batches.first()[:2])
            processes.share(objective)
        average = Ema(objective, flow, ema)
        trainable = [p for p in objective.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=weight_decay, fused=True)
        guard = Guard(optimizer, trainable, clip, now.tally, deferred=look > 1)
        learner = Learner(objective, average, optimizer)
        if saved:
            learner.restore(saved.now)
            greet(now, display)
        now.threads = torch.get_num_threads()
        keeper = Keeper(learner, now, run if processes.main else None, saved)
        clock = Clock(began, now, time_limit, processes)
        model = processes.wrap(objective)
        gradient = Gradient(model, compile, now, clock, processes, autocast, display, seed)
        stopped: Stop | None = None

        while True:
            validating = now.step % now.plan.every == 0 and now.validated < now.step
            if validating or now.step % look == 0 or now.step >= now.plan.end:
                interrupted = clock.read(now, signals.received is not None)
                now.tally = guard.look()  # a GPU is waited for
                if now.tally[0] >= STREAK:
                    _roll_back(now, learner, keeper, display)
                if gradient.settled:
                    keep_choice(now, keeper.run)
                if gradient.settled and clock.decide(now, first=True):
                    announce(now.plan, time_limit, keeper.run, display)
                if interrupted:
                    stopped = "interrupted"
                elif now.step >= now.plan.end:
                    stopped = "steps"
                elif clock.late(now):
                    stopped = "time limit"

                if (validating or stopped) and now.validated < now.step and stopped != "interrupted":
                    average.sync()
                    figure = validate(average.module)
                    keeper.validated(figure)
                    records.append(record(now, figure, lr, clock.rate(now, batches.batch)))
                    if keeper.run:
                        keeper.run.log(records[-1])
                    clock.validated(now)
                    if watch and processes.main:
                        watch(average.part, now.step, 1.0 if stopped else min(1.0, now.step / now.plan.end))
                    if not stopped and clock.decide(now):
                        announce(now.plan, None, keeper.run, display)
                if patience and now.waited >= patience and not stopped:
                    stopped = "patience"
                if stopped:
                    break
                if keeper.due:
                    keeper.write()
                if display.due:
                    display.update(now, clock.rate(now, batches.batch), clock.left(now))

            for group in optimizer.param_groups:
                group["lr"] = lr * now.factor * now.plan.rate(now.step)
            flow.refresh()
            rows = batches(now.step)
            loss = gradient(rows, batches.share(rows[2]))
            guard.step(processes.mean(loss))
            average.update(now.step)
            now.step += 1
            if gradient.news():
                clock.restart(now)
                keeper.write()

        keeper.write()
        farewell(stopped, now, signals.received, keeper.run, display)
        if not keeper.best:
            average.sync()
        flow.load_state_dict(keeper.best or weights(average.part))
        flow.eval()
        if keeper.run and not keeper.best and stopped != "interrupted":
            keeper.run.save(flow)
    return History(
        now.step, now.best, now.best_step, stopped, now.seconds, now.rollbacks, int(now.tally[1]), records, now.compiled == "yes"
    )


def _plan(steps: int | None, batch: int, rows: int, valid_rows: int, warmup: int, every: int | None, time_limit: float | None) -> Plan:
    """The course as far as it is known before the first step."""
    total = None if time_limit else default_steps(rows, batch) if steps is None else steps
    interval = every or default_interval(total or steps or default_steps(rows, batch), batch, valid_rows)
    warmup = warmup if total is None else min(warmup, total // 10)
    return Plan(asked=steps, steps=total, every=interval, warmup=warmup, start=warmup)


def _roll_back(now: Counters, learner: Learner, keeper: Keeper, display: Display) -> None:
    """Back to the last good weights, at half the rate; the steps themselves go on."""
    if now.rollbacks == ROLLBACKS:
        raise FloatingPointError(
            f"fit: at step {now.step} the loss or its gradient is still not finite, after {ROLLBACKS} roll-backs to good weights, each at "
            "half the learning rate; look for extreme values in the data, or lower train.lr or train.clip"
        )
    learner.restore(keeper.good)
    now.tally[0] = 0.0
    now.rollbacks, now.factor = now.rollbacks + 1, now.factor / 2
    display.say(
        f"step {now.step:,}: the loss or its gradient was not finite {STREAK} times in a row; "
        f"back to the last good weights, at {now.factor:g} times the learning rate"
    )


def _check(
    train: Rows,
    valid: Rows,
    run: Run | None,
    resume: bool,
    time_limit: float | None,
    precision: str,
    compile: str,
    **positive: float | None,
) -> None:
    for name, rows in (("train", train), ("valid", valid)):
        if len(rows) == 0:
            raise ValueError(f"fit: expected rows to {name} on, got none; split the data otherwise")
    for name, value in {**positive, "time_limit": time_limit}.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"fit: expected {name} > 0, got {value}")
    if precision not in ("no", "bf16"):
        raise ValueError(f"fit: expected precision 'no' or 'bf16' (float16 overflows in log-dets), got {precision!r}")
    if compile not in ("auto", "yes", "no"):
        raise ValueError(f"fit: expected compile 'auto', 'yes' or 'no', got {compile!r}")
    if resume and run is None:
        raise ValueError("fit: resume needs the run to go on from; give run=Run.load(path)")
