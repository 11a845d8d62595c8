"""Fitting a flow to a density that is known up to its normalizer: no data, only a function."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core import Chain, Flow, sum_event
from ..evaluation import importance
from ..objectives.reverse import ReverseKL
from .density_batches import DensityBatches, DensityValidation
from .directory import Directory
from .history import Stop
from .lock import occupants
from .loop import optimize
from .processes import Processes
from .schedule import check_positive, course

LOOKS = 50  # looks at the bound in a run
TRUSTED = 0.7  # Pareto k up to which estimates can be taken at their word
TINY = 0.01  # effective sample size that is worth a warning, as a share


@dataclass(repr=False)
class DensityFit:
    """What came of a fit: estimates by importance sampling from the fitted flow, and the course of training.

    The estimates are tensors of shape (), or of the contexts' ``(K,)``.

    Attributes:
        log_z, log_z_stderr: the log normalizer of p~, in nats, and its standard error (delta method).
        elbo: a lower bound of log Z, on average; ``log_z - elbo`` estimates ``KL(q || p)``.
        ess: effective sample size, as a share of the draws.
        pareto_k: the shape of the weights' tail: from 0.7 on, take estimates and errors with caution.
        stopped: ``"steps"``, ``"time limit"`` or ``"interrupted"``.
        steps, skipped: steps taken, and those skipped since something was not finite.
        seconds: of training.
        history: one dict for each look: ``step, loss, elbo, ess`` (of the averaged weights, on a few draws), ``temperature, lr, seconds``;
            ``valid`` is minus the elbo, once the temperature is 1.
    """

    log_z: Tensor
    log_z_stderr: Tensor
    elbo: Tensor
    ess: Tensor
    pareto_k: Tensor
    stopped: Stop
    steps: int
    skipped: int
    seconds: float
    history: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def __repr__(self) -> str:
        """The estimates, how training ended, and whether the weights' tail is too heavy to trust them."""
        worst = float(self.pareto_k.max())
        figures = [f"{name}={_short(getattr(self, name))}" for name in ("log_z", "log_z_stderr", "elbo", "ess", "pareto_k")]
        doubt = (
            f"; don't trust them: Pareto k is {worst:.2f}, above {TRUSTED}, so a few draws carry the weight" if not worst <= TRUSTED else ""
        )
        return f"DensityFit({', '.join(figures)}; {self.steps:,} steps in {self.seconds:.0f} s, ended by: {self.stopped}{doubt})"


def _short(value: Tensor) -> str:
    return f"{float(value):.4g}" if value.dim() == 0 else f"{float(value.min()):.4g}..{float(value.max()):.4g}"


def fit_density(
    flow: Flow,
    log_prob: Callable[..., Tensor],
    *,
    steps: int = 1500,
    batch: int = 256,
    lr: float = 1e-3,
    warmup: int = 100,
    clip: float = 10.0,
    ema: float = 0.995,
    anneal: float = 30.0,
    path: bool = False,
    samples: int = 131_072,
    time_limit: float | None = None,
    seed: int = 0,
    context: Tensor | None = None,
    run: Directory | str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> DensityFit:
    r"""Fit the flow q to ``p = p~ / Z`` given ``log p~``, by the reverse KL divergence; afterwards it holds the best weights.

    ``min_q E_{x~q}[log q(x) - log p~(x)] = min_q KL(q || p) - log Z`` over fresh draws in each step (:class:`ReverseKL`), by AdamW with
    a linear warm-up and half a cosine down to zero. During the first three tenths the target is ``p~^(1/T) r^(1 - 1/T)``, with the
    temperature T falling from ``anneal`` to 1 and a normal r of variance ``anneal`` (behind the flow's first layers without parameters,
    such as a ``Logit``): the flow spreads over modes that it would not find from where it starts. A step whose loss or gradient
    is not finite is skipped. Ctrl-C and SIGTERM end the training, and what there is comes back. Rates, temperatures and random numbers of a
    step are functions of ``(seed, step)`` and the plan: with a directory to write to, a run that was stopped and resumed ends with the
    same weights to the bit. Started by ``torchrun``, many processes share each batch.

    Cost: each step takes ``batch`` draws with ``log_prob`` and its gradient, the estimates ``samples`` draws. Flows that sample in
    one pass suit: couplings, IAF; a MAF takes D steps for each.

    Caveats: reverse KL seeks modes. Without annealing, of two modes 20 widths apart one is found, and ``log_z`` is the logarithm of its
    share: neither ``ess`` nor ``pareto_k`` can tell. Modes still apart at the first temperature, or too narrow for
    the number of steps, are missed all the same; compare seeds and temperatures. Where q has a hole that few draws reach, ``log_z`` is
    a little too low in most runs and too high in a few: more ``samples`` help. The flow must map onto the support of p~: where that is not
    all of R^D, begin it with a layer from there to R^D, such as ``Elementwise(Logit())`` for the unit cube.

    References: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770 (reverse KL, and the annealing of
    the target); Normalizing Flows for Probabilistic Modeling and Inference, Papamakarios, Nalisnick, Rezende, Mohamed,
    Lakshminarayanan, 2019, arXiv:1912.02762, sections 2.3.2 and 6.2.

    Arguments:
        flow: the model, of kind "exact".
        log_prob: ``log p~``, from x ``(N, *shape)`` to ``(N,)``, differentiable in x; of a conditional flow, from x and contexts.
        steps: of the optimizer.
        batch: draws of a step.
        lr: the largest learning rate.
        warmup: steps to get there, a tenth of all at most.
        clip: the largest norm of the gradient.
        ema: decay of the average of the weights.
        anneal: the first temperature; 1 for none.
        path: gradients through the draws only (see :class:`ReverseKL`).
        samples: fresh draws for the estimates, for each context.
        time_limit: seconds of training, if that is over sooner; the schedule is fitted to it.
        seed: of the draws; the caller's random state stays as it is.
        context: for a conditional flow, the contexts ``(K, *context_shape)`` to fit at; each draw takes one of them.
        run: a directory for checkpoints, weights and metrics.
        resume: go on from its checkpoint, if it has one; the flow is one built as at the start.
        progress: show progress on stderr.

    Raises:
        ValueError: impossible options, a place that is taken, a flow of another kind, or a ``log_prob`` of another shape, without a
            gradient, or nowhere finite.
        FloatingPointError: step after step something is not finite.

    Example::

        >>> flow = real_nvp((2,))
        >>> fit = fit_density(flow, lambda x: -x.square().sum(1) / 8, steps=500)
        >>> f"{fit.log_z:.1f}", flow.sample((5,)).shape
        ('3.2', torch.Size([5, 2]))
    """
    _check(flow, anneal, ema, warmup, context)
    check_positive("fit_density", steps=steps, batch=batch, lr=lr, clip=clip, samples=samples, time_limit=time_limit)
    context = None if flow.context_shape is None else context
    directory = _directory(run, resume)
    processes = Processes(next(p.device for p in flow.parameters() if p.requires_grad))
    batches = DensityBatches(log_prob, batch, context, anneal, seed, processes)
    own = batches.batch // processes.count
    try:
        history = optimize(
            flow,
            ReverseKL(flow, log_prob, own if context is None else 1, path, _broad(flow, anneal)),
            batches,
            DensityValidation(log_prob, context, anneal, seed, processes),
            processes,
            course(steps, steps, None, lambda total: max(1, total // LOOKS), warmup, time_limit),
            lr=lr,
            clip=clip,
            ema=ema,
            time_limit=time_limit,
            seed=seed,
            run=directory,
            resume=resume,
            progress=progress,
        )
    except FloatingPointError:
        raise FloatingPointError(
            "fit_density: the loss or its gradient is not finite, step after step; if log_prob is -inf somewhere, begin the flow with a "
            "layer from its support to the whole space, else lower lr"
        ) from None
    with processes.forked():
        processes.seed(seed, "estimates")
        found = importance(flow, log_prob, samples, context)
    fit = DensityFit(
        found.log_z,
        found.log_z_stderr,
        found.elbo,
        found.ess,
        found.pareto_k,
        "time limit" if history.stopped == "steps" and history.steps < steps else history.stopped,
        history.steps,
        history.skipped,
        history.seconds,
        history.records,
    )
    _warn(fit, samples)
    return fit


def _directory(run: Directory | str | Path | None, resume: bool) -> Directory | None:
    if resume and run is None:
        raise ValueError("fit_density: resume needs the directory to go on from; give run")
    if run is None or isinstance(run, Directory):
        return run
    path = Path(run)
    if not resume and occupants(path):
        raise ValueError(f"fit_density: {path} is not empty; resume=True goes on from the checkpoint in it, or choose another place")
    return Directory(path, {})


def _broad(flow: Flow, variance: float) -> Callable[..., Tensor]:
    """A normal log density up to its constant, behind the fixed layers that the flow begins with: annealing starts near it."""
    fixed = Chain(*itertools.takewhile(lambda layer: not any(True for _ in layer.parameters()), flow.transform.transforms))

    def log_prob(x: Tensor, context: Tensor | None = None) -> Tensor:
        u, ldj = fixed(x, context)
        return ldj - sum_event(u.square()) / (2 * variance)

    return log_prob


def _warn(fit: DensityFit, samples: int) -> None:
    ess = float(fit.ess.min())
    if ess < TINY:
        warnings.warn(
            f"fit_density: the effective sample size is {ess * samples:,.0f} of {samples:,} draws ({ess:.2%}): log Z and means rest "
            "on few of them and may be far off; train longer, take a more flexible flow, or raise anneal",
            stacklevel=3,
        )


def _check(flow: Flow, anneal: float, ema: float, warmup: int, context: Tensor | None) -> None:
    if flow.kind != "exact":
        raise ValueError(f'fit_density: expected a flow of kind "exact", got "{flow.kind}"; take out the layers that add noise')
    if not any(p.requires_grad for p in flow.parameters()):
        raise ValueError("fit_density: expected a flow with parameters to fit, got none")
    if flow.context_shape is not None and (context is None or context.shape[1:] != flow.context_shape or not len(context)):
        expected = ", ".join(map(str, flow.context_shape))
        got = "none" if context is None else str(tuple(context.shape))
        raise ValueError(f"fit_density: expected contexts (K, {expected}) to fit the conditional flow at, got {got}")
    if not (1 <= anneal < math.inf and 0 <= ema < 1 and warmup >= 0):
        raise ValueError(f"fit_density: expected anneal >= 1, 0 <= ema < 1 and warmup >= 0, got {anneal}, {ema} and {warmup}")
