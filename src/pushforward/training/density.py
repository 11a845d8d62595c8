"""Fitting a flow to a density that is known up to its normalizer: no data, only a function."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import Tensor

from ..core import Chain, Flow, sum_event
from ..objectives.reverse import ReverseKL, draws, evaluate
from .allocator import keep_freed_memory
from .display import Display
from .ema import Ema
from .guard import Guard
from .importance import Importance, importance
from .schedule import Plan, mix
from .signals import StopSignals
from .state import Counters, weights

LOOKS = 50  # looks at the bound in a run
LOOK_ROWS = 1024
ANNEALED = 0.3  # share of the steps at a temperature above 1
STREAK = 50  # skipped steps in a row before giving up
Stop = Literal["steps", "time limit", "interrupted"]
TINY = 0.01  # effective sample size that is worth a warning, as a share


@dataclass
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
        history: one dict for each look: ``step, elbo, ess`` (of the averaged weights, on a few draws), ``temperature, lr, seconds``.
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
    progress: bool = True,
) -> DensityFit:
    r"""Fit the flow q to ``p = p~ / Z`` given ``log p~``, by the reverse KL divergence; afterwards it holds the best weights.

    ``min_q E_{x~q}[log q(x) - log p~(x)] = min_q KL(q || p) - log Z`` over fresh draws in each step (:class:`ReverseKL`), by AdamW with
    a linear warm-up and half a cosine down to zero. During the first three tenths the target is ``p~^(1/T) r^(1 - 1/T)``, with the
    temperature T falling from ``anneal`` to 1 and a normal r of variance ``anneal`` (behind the flow's first layers without parameters,
    such as a ``Logit``): the flow spreads over modes that it would not find from where it starts. A step whose loss or gradient
    is not finite is skipped. Ctrl-C and SIGTERM end the training, and what there is comes back.

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
        time_limit: seconds of training, if that is over sooner.
        seed: of the draws; the caller's random state stays as it is.
        context: for a conditional flow, the contexts ``(K, *context_shape)`` to fit at; each draw takes one of them.
        progress: show progress on stderr.

    Raises:
        ValueError: impossible options, a flow of another kind, or a ``log_prob`` of another shape, without a gradient, or nowhere finite.
        FloatingPointError: step after step something is not finite.

    Example::

        >>> flow = real_nvp((2,))
        >>> fit = fit_density(flow, lambda x: -x.square().sum(1) / 8, steps=500)
        >>> f"{fit.log_z:.1f}", flow.sample((5,)).shape
        ('3.2', torch.Size([5, 2]))
    """
    _check(flow, anneal, ema, warmup, context, steps=steps, batch=batch, lr=lr, clip=clip, samples=samples, time_limit=time_limit)
    context = None if flow.context_shape is None else context
    keep_freed_memory()
    trainable = [p for p in flow.parameters() if p.requires_grad]
    devices = [trainable[0].device] if trainable[0].is_cuda else []
    objective = ReverseKL(flow, log_prob, batch if context is None else 1, path, _broad(flow, anneal))
    plan = Plan(asked=steps, steps=steps, every=max(1, steps // LOOKS), warmup=min(warmup, steps // 10), start=0)
    now, records, best = Counters(plan), [], None

    with torch.random.fork_rng(devices=devices), StopSignals() as signals, Display(progress) as display:
        torch.manual_seed(mix(seed, "draws"))
        _try(flow, log_prob, batch, context)
        average = Ema(flow.train(), flow, ema)
        optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=1e-4, fused=True)
        guard = Guard(optimizer, trainable, clip, now.tally)
        began = time.perf_counter()

        while True:
            now.seconds = time.perf_counter() - began
            done = min(1.0, max(now.step / steps, now.seconds / time_limit if time_limit else 0.0))
            temperature = anneal ** max(0.0, 1 - done / ANNEALED)
            rate = lr * min(1.0, (now.step + 1) / max(1, plan.warmup)) * 0.5 * (1 + math.cos(math.pi * done))
            stopped: Stop | None = (
                "interrupted" if signals.received else "steps" if now.step >= steps else "time limit" if done >= 1 else None
            )

            if now.step % plan.every == 0 or stopped:
                average.sync()
                elbo, ess = _look(cast(Flow, average.part), log_prob, seed, context, devices)
                records.append({"step": now.step, "elbo": elbo, "ess": ess, "temperature": temperature, "lr": rate, "seconds": now.seconds})
                if temperature == 1 and math.isfinite(elbo) and (now.best is None or -elbo < now.best):
                    now.best, now.best_step, best = -elbo, now.step, weights(average.part)
            if stopped:
                break
            if guard.look()[0] >= STREAK:
                raise FloatingPointError(
                    f"fit_density: up to step {now.step} the loss or its gradient was not finite {STREAK} times in a row; if log_prob is "
                    "-inf somewhere, begin the flow with a layer from its support to the whole space, else lower lr"
                )
            if display.due:
                display.update(now, now.step * batch / now.seconds, now.seconds * (1 - done) / done if done else None)

            for group in optimizer.param_groups:
                group["lr"] = rate
            flow.refresh()
            rows = None if context is None else context[torch.randint(len(context), (batch,), device=context.device)]
            loss = objective(rows, 1 / temperature)
            loss.backward()
            guard.step(loss.detach())
            average.update(now.step)
            now.step += 1

        flow.load_state_dict(best or weights(average.part))
        found = importance(flow.eval(), log_prob, samples, context)
    fit = DensityFit(
        found.log_z, found.log_z_stderr, found.elbo, found.ess, found.pareto_k, stopped, now.step, int(now.tally[1]), now.seconds, records
    )
    _warn(fit, samples)
    return fit


def _broad(flow: Flow, variance: float) -> Callable[..., Tensor]:
    """A normal log density up to its constant, behind the fixed layers that the flow begins with: annealing starts near it."""
    fixed = Chain(*itertools.takewhile(lambda layer: not any(True for _ in layer.parameters()), flow.transform.transforms))

    def log_prob(x: Tensor, context: Tensor | None = None) -> Tensor:
        u, ldj = fixed(x, context)
        return ldj - sum_event(u.square()) / (2 * variance)

    return log_prob


def _look(
    flow: Flow, log_prob: Callable[..., Tensor], seed: int, context: Tensor | None, devices: list[torch.device]
) -> tuple[float, float]:
    """The bound and the effective sample size on a few draws, the same noise each time, so that looks compare."""
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(mix(seed, "look"))
        given = None if context is None else context[torch.arange(LOOK_ROWS, device=context.device) % len(context)]
        x, log_q, given = draws(flow, LOOK_ROWS if given is None else 1, given)
        found = Importance(x, (evaluate(log_prob, x, given) - log_q).double())
        return found.elbo.item(), found.ess.item()


def _try(flow: Flow, log_prob: Callable[..., Tensor], batch: int, context: Tensor | None) -> None:
    """Find out before the first step whether there is something to follow."""
    with torch.no_grad():
        x, _, given = draws(flow, max(1, batch // (1 if context is None else len(context))), context)
    value = evaluate(log_prob, x.requires_grad_(), given)
    if not value.requires_grad:
        raise ValueError("fit_density: expected a log_prob that is differentiable in x, got values without a gradient; write it in torch")
    if not value.isfinite().any():
        raise ValueError(
            f"fit_density: log_prob is not finite at any of {len(x):,} draws of the flow as it is; start it where the density is, or "
            "begin it with a layer from the density's support to the whole space"
        )


def _warn(fit: DensityFit, samples: int) -> None:
    ess = float(fit.ess.min())
    if ess < TINY:
        warnings.warn(
            f"fit_density: the effective sample size is {ess * samples:,.0f} of {samples:,} draws ({ess:.2%}): log Z and means rest "
            "on few of them and may be far off; train longer, take a more flexible flow, or raise anneal",
            stacklevel=3,
        )


def _check(flow: Flow, anneal: float, ema: float, warmup: int, context: Tensor | None, **positive: float | None) -> None:
    if flow.kind != "exact":
        raise ValueError(f'fit_density: expected a flow of kind "exact", got "{flow.kind}"; take out the layers that add noise')
    if not any(p.requires_grad for p in flow.parameters()):
        raise ValueError("fit_density: expected a flow with parameters to fit, got none")
    if flow.context_shape is not None and (context is None or context.shape[1:] != flow.context_shape or not len(context)):
        expected = ", ".join(map(str, flow.context_shape))
        got = "none" if context is None else str(tuple(context.shape))
        raise ValueError(f"fit_density: expected contexts (K, {expected}) to fit the conditional flow at, got {got}")
    for name, value in positive.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"fit_density: expected {name} > 0, got {value}")
    if not (1 <= anneal < math.inf and 0 <= ema < 1 and warmup >= 0):
        raise ValueError(f"fit_density: expected anneal >= 1, 0 <= ema < 1 and warmup >= 0, got {anneal}, {ema} and {warmup}")
