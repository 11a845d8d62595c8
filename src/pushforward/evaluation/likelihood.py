"""Log-likelihoods of rows under a fitted flow, in batches whose memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core import Distribution, Flow, refined
from ..questions import answers_exactly, questions
from .scores import Score, summarize

if TYPE_CHECKING:
    from ..data import Rows, Schema, WholeSchema

REFINED_ROWS = 512  # of which the error of a solver is told
TOLERATED = 0.05  # nats of it
FINEST = 16  # steps in place of each, at most
AT_ONCE = 2**18  # numbers that go through a flow at a time, so that memory does not grow with the size of an image


def evaluate(
    flow: Distribution,
    rows: Rows,
    *,
    samples: int = 1,
    batch: int = 4096,
    schema: Schema | WholeSchema | None = None,
    name: str = "flow",
    train_seconds: float | None = None,
    seed: int = 0,
) -> Score:
    r"""The mean log-likelihood of rows, ``1/N sum_i log p(x_i | c_i)``, in nats per row, with its standard error.

    In data units, since preprocessing is part of the flow; ``standardized`` adds the sum of the columns' log deviations.
    For integers ``p`` is the probability of the integer, and a dequantized flow gives a lower bound on it, which ``samples``
    tighten. Rows with weights give the weighted mean. Cost: ``samples`` passes, in batches; without gradient, in eval mode.

    Arguments:
        flow: the model; raw float64 rows go in, or whole numbers of images.
        rows: of the split to judge by, not of the training split.
        samples: K, averaged per row as ``flow.log_prob`` does; without effect on an exact model.
        batch: rows (times samples) at once; fewer where they would hold more than 2**18 numbers.
        schema: of the data; gives the standardized figure and says whether bits per dimension make sense.
        name: what the score table calls the model.
        train_seconds: passed on to the score.
        seed: of the noise of stochastic layers; the generator's state is restored.

    Raises:
        ValueError: there are no rows, or their weights are negative or all zero.

    Example::

        >>> score = evaluate(flow, data.test, schema=data.schema)
        >>> f"{score.nats:.2f} +- {score.stderr:.2f}, {score.words()}"
        '-9.31 +- 0.02, exact'
    """
    if rows.weight is not None and ((rows.weight < 0).any() or not (rows.weight > 0).any()):
        raise ValueError("evaluate: weights must not be negative, nor all zero; give other rows, or leave the column of weights out")
    terms = None
    by, errs = _steps(flow, rows, samples, batch, seed)
    with refined(flow, by):
        if isinstance(flow, Flow) and answers_exactly(flow) and schema is not None:
            terms = _terms(flow, rows, batch, seed) if len({c.discrete for c in schema.columns}) > 1 else None  # type: ignore[union-attr]
        log_prob = log_likelihood(flow, rows, samples=samples, batch=batch, seed=seed) if terms is None else terms.sum(1)
        dim = math.prod(flow.shape)
        options: dict[str, Any] = {"schema": schema, "weight": rows.weight, "train_seconds": train_seconds}
        with settled(flow, seed):
            options |= {"kind": flow.kind, "how": "; ".join([*flow.how, *errs])}
    return summarize(name, log_prob, terms, samples=samples, dim=dim, **options)


def _steps(flow: Distribution, rows: Rows, samples: int, batch: int, seed: int) -> tuple[int, list[str]]:
    """How many steps of a solver to take in place of each, if there is one, so that twice as many change little; and what these add.

    Training may have learned to make use of what the model's own steps get wrong, and a figure by these would be of no density.
    """
    some, by, found = rows.pick(slice(REFINED_ROWS)), 1, []
    while True:
        with refined(flow, by) as solved:
            if not solved:
                return 1, []
            found.append(float(log_likelihood(flow, some, samples=samples, batch=batch, seed=seed).mean()))
        change = round(found[-1] - found[-2], 4) if by > 1 else math.inf
        if abs(change) < TOLERATED or by == 2 * FINEST:
            break
        by *= 2
    own = []
    if by > 2:
        own = [f"{by // 2} times the steps of the model, which err by {found[0] - found[-2]:+.4f} nats: train with more, or with a price"]
    return by // 2, [*own, f"twice the steps add {change + 0.0:+.4f} nats" + ", which is much" * (not abs(change) < TOLERATED)]


def log_likelihood(flow: Distribution, rows: Rows, *, samples: int = 1, batch: int = 4096, seed: int = 0) -> Tensor:
    """The log-likelihood of each row in nats, float64 ``(N,)`` on the CPU; arguments as :func:`evaluate`."""
    return _batched(flow, rows, batch, samples, seed, lambda x, context, at_once: _log_prob(flow, x, context, samples, at_once))


def _terms(flow: Flow, rows: Rows, batch: int, seed: int) -> Tensor:
    """What each column adds to it, ``(N, D)``, where that is known."""
    ask = questions(flow)

    def of_columns(x: Tensor, context: Tensor | None, at_once: int) -> Tensor:
        none = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        return ask.terms(x, none, ~none, context)

    return _batched(flow, rows, batch, 1, seed, of_columns)


@torch.no_grad()
def _batched(
    flow: Distribution, rows: Rows, batch: int, samples: int, seed: int, one: Callable[[Tensor, Tensor | None, int], Tensor]
) -> Tensor:
    """What ``one`` makes of parts of the rows, and of how many may be held at a time."""
    if not len(rows.x):
        raise ValueError("evaluate: expected at least one row, got none; check the split")
    at_once = min(batch, max(1, AT_ONCE // max(1, rows.x[0].numel())))
    step = max(1, at_once // samples)
    with settled(flow, seed):
        parts = []
        for start in range(0, len(rows.x), step):
            context = None if rows.context is None else rows.context[start : start + step]
            x, context = entering(flow, rows.x[start : start + step], context)
            parts.append(one(x, context, at_once))
    return torch.cat([part.double().cpu() for part in parts])


def _log_prob(flow: Distribution, x: Tensor, context: Tensor | None, samples: int, at_once: int) -> Tensor:
    """One log-likelihood for each row, from K samples of which at most ``at_once`` rows are held at a time."""
    if samples == 1:
        return flow.log_prob(x, context)
    counts = [samples] if samples <= at_once else [at_once] * (samples // at_once) + [samples % at_once] * (samples % at_once > 0)
    parts = [flow.log_prob(x, context, count).double() for count in counts]  # type: ignore[call-arg]
    if len(parts) == 1:
        return parts[0]
    weight = parts[0].new_tensor(counts)[:, None] / samples
    if flow.kind == "estimate":
        return (weight * torch.stack(parts)).sum(0)
    return (weight.log() + torch.stack(parts)).logsumexp(0)


def entering(flow: Distribution, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows as the flow takes them: see ``Flow.entry``."""
    dtype, device = flow.entry
    return x.to(device, dtype), None if context is None else context.to(device, dtype)


@contextmanager
def settled(flow: Distribution, seed: int) -> Iterator[None]:
    """Eval mode and seeded noise for a while; mode and generators are restored."""
    like = next(iter([*flow.parameters(), *flow.buffers()]), torch.empty(0))
    training = flow.training
    with torch.random.fork_rng([like.device] if like.device.type == "cuda" else []):
        torch.manual_seed(seed)
        flow.eval()
        try:
            yield
        finally:
            flow.train(training)
