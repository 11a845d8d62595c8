"""Fitting by maximum likelihood: from rows to the weights that did best on the validation rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from torch import nn

from ..core import Flow
from ..objectives import ELBO, FlowMatching, Objective, choose_objective
from ..objectives.flow_matching import Pairing
from .batches import RowBatches, RowValidation
from .gradient import Compile
from .history import History
from .loop import optimize
from .optimizers import OptimizerName
from .precision import Precision
from .processes import Processes, Strategy
from .schedule import check_positive, course, default_interval, default_steps

if TYPE_CHECKING:
    from ..data import Rows
    from .directory import Directory


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
    optimizer: OptimizerName = "adamw",
    clip: float = 10.0,
    ema: float = 0.999,
    every: int | None = None,
    patience: int = 10,
    precision: Precision = "auto",
    compile: Compile = "auto",
    strategy: Strategy = "ddp",
    flip: bool = False,
    objective: Objective = "auto",
    beta: float = 1.0,
    kl_warmup: float = 0.0,
    free_bits: float = 0.0,
    draws: int = 5,
    doubly: bool = False,
    pairing: Pairing = "independent",
    kinetic: float = 0.0,
    jacobian: float = 0.0,
    end_spread: float = 0.0,
    time_limit: float | None = None,
    seed: int = 0,
    loss: nn.Module | None = None,
    initialize: bool = True,
    run: Directory | None = None,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[nn.Module, int, float], None] | None = None,
) -> History:
    """Fit the flow by AdamW, Muon or SOAP; afterwards it holds the averaged weights that did best on the validation rows.

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
        weight_decay: times the learning rate, the share of the weights that a step takes off.
        optimizer: "adamw", or "muon" or "soap" on matrices and AdamW on the rest: see :func:`~.optimizers.optimizer_of`.
        clip: the largest norm of the gradient.
        ema: decay of the average of the weights.
        every: steps between validations; ``None`` for about 50 in a run.
        patience: validations without improvement before stopping; 0 never stops early.
        flip: mirror each image of a batch left to right with probability 1/2; validation images stay as they are.
        precision: of the nets: "no" for the weights' own, "bf16" for bfloat16 autocast, or "auto": bfloat16 for images and sounds where a
            trial after the first steps finds it a fifth faster and the loss the same to .003 bits for each number. What was decided is
            written to the run's config.toml.
        compile: the loss and its gradient by ``torch.compile``: ``"yes"``, ``"no"``, or ``"auto"``: on a GPU and for couplings of
            vectors, if more than five minutes are left. What was decided is written to the run's config.toml; where compiling fails,
            training goes on without.
        strategy: of many processes: "ddp", each holds all weights, or "fsdp", each holds a part of weights, gradients and moments, and
            of each layer the whole only while it computes (FSDP2). One process alone holds all.
        objective: "likelihood", "elbo" (:class:`~pushforward.objectives.ELBO`), "iwae" (:class:`~pushforward.objectives.IWAE`) or
            "flow_matching" (:class:`~pushforward.objectives.FlowMatching`); "auto" takes the bound for models with a random latent,
            such as a VAE, and the likelihood for all others.
        beta: of "elbo", the weight of the divergence.
        kl_warmup: of "elbo", the share of the steps during which the weight rises from 0.
        free_bits: of "elbo", nats of each group of latents that cost nothing.
        draws: of "iwae", K.
        doubly: of "iwae", the doubly reparameterised gradient.
        pairing: of "flow_matching", "independent" or "optimal".
        kinetic, jacobian, end_spread: of "likelihood", what the way of a continuous flow costs
            (:class:`~pushforward.objectives.RegularizedLikelihood`).
        time_limit: seconds, start-up and validations included; the schedule is fitted to it.
        seed: of rows and random numbers.
        loss: a module ``(x, context, weight) -> loss`` that holds the flow, in place of the objective.
        initialize: start layers from the first batch; not if the flow's weights are to be trained further.
        run: where checkpoints, weights and metrics are written, a :class:`Run` or a bare :class:`Directory`.
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
    check_rows(train, valid)
    check_options(steps, batch, lr, warmup, weight_decay, clip, ema, every, patience, precision, compile, time_limit, strategy, optimizer)
    if resume and run is None:
        raise ValueError("fit: resume needs the run to go on from; give run=Run.load(path)")
    processes = Processes(strategy=strategy)
    dtype = flow.entry.dtype
    if loss is None:
        loss = choose_objective(
            flow,
            objective,
            beta=beta,
            kl_warmup=kl_warmup,
            free_bits=free_bits,
            draws=draws,
            doubly=doubly,
            pairing=pairing,
            kinetic=kinetic,
            jacobian=jacobian,
            end_spread=end_spread,
        )
    batches = RowBatches(train, batch, seed, processes, dtype, flip, initialize, isinstance(loss, ELBO) and loss.warmup > 0)
    validate = RowValidation(valid, seed, processes, dtype, flow.passes, isinstance(loss, FlowMatching))  # which trains without a solver
    return optimize(
        flow,
        loss,
        batches,
        validate,
        processes,
        course(
            steps,
            default_steps(len(train), batches.batch),
            every,
            lambda total: default_interval(total, batches.batch, validate.rows * flow.passes),
            warmup,
            time_limit,
        ),
        lr=lr,
        weight_decay=weight_decay,
        optimizer=optimizer,
        clip=clip,
        ema=ema,
        patience=patience,
        precision=precision,
        compile=compile,
        time_limit=time_limit,
        seed=seed,
        run=run,
        resume=resume,
        progress=progress,
        watch=watch,
        bits=None if train.x.is_floating_point() else train.x[0].numel(),  # images: the display speaks of bits per dimension
        began=began,
    )


def check_rows(train: Rows, valid: Rows) -> None:
    """Raise ValueError if a split is empty."""
    for name, rows in (("train", train), ("valid", valid)):
        if len(rows) == 0:
            raise ValueError(f"fit: expected rows to {name} on, got none; split the data otherwise")


def check_options(
    steps: int | None,
    batch: int,
    lr: float,
    warmup: int,
    weight_decay: float,
    clip: float,
    ema: float,
    every: int | None,
    patience: int,
    precision: str,
    compile: str,
    time_limit: float | None,
    strategy: str = "ddp",
    optimizer: str = "adamw",
    **others: object,
) -> None:
    """Raise ValueError at the first option of :func:`fit` that can't be meant."""
    check_positive("fit", steps=steps, batch=batch, lr=lr, clip=clip, every=every, time_limit=time_limit)
    if not (weight_decay >= 0 and warmup >= 0 and patience >= 0 and 0 <= ema < 1):
        raise ValueError(
            "fit: expected weight_decay, warmup and patience of at least 0 and 0 <= ema < 1, "
            f"got {weight_decay}, {warmup}, {patience} and {ema}"
        )
    if optimizer not in get_args(OptimizerName):
        raise ValueError(f"fit: expected optimizer 'adamw', 'muon' or 'soap', got {optimizer!r}")
    if optimizer != "adamw" and strategy == "fsdp":
        raise ValueError(f"fit: optimizer {optimizer!r} steps along whole matrices, of which 'fsdp' has parts; use 'adamw' or 'ddp'")
    if precision not in ("auto", "no", "bf16"):
        raise ValueError(f"fit: expected precision 'auto', 'no' or 'bf16' (float16 overflows in log-dets), got {precision!r}")
    if compile not in ("auto", "yes", "no"):
        raise ValueError(f"fit: expected compile 'auto', 'yes' or 'no', got {compile!r}")
    if strategy not in ("ddp", "fsdp"):
        raise ValueError(f"fit: expected strategy 'ddp' or 'fsdp', got {strategy!r}")
