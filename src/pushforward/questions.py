"""What a fitted density says of some columns given others: exactly where the model can, by weighted samples of it elsewhere."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .core import Chain, Flow
from .distributions import AnyOrder
from .transforms import Cast, Quantize

TOGETHER = 2**21  # numbers of points times rows that are held together


@dataclass(frozen=True)
class Weighted:
    """Distributions of one number as weighted points, one for each row.

    Attributes:
        values: rising, ``(1 or B, P)``: the same for all rows, or not.
        weights: of each row, ``(B, P)``; they sum to 1.
    """

    values: Tensor
    weights: Tensor

    def mean(self) -> Tensor:
        """``(B,)``."""
        return (self.weights * self.values).sum(1)

    def quantile(self, level: float) -> Tensor:
        """The least value with so much at or below it, ``(B,)``."""
        at = torch.searchsorted(self.weights.cumsum(1), self.weights.new_full((len(self.weights), 1), level))
        return self._at(at.clamp(max=self.values.shape[1] - 1))

    def mode(self) -> Tensor:
        """The value of the greatest weight, ``(B,)``: for what has few values."""
        return self._at(self.weights.argmax(1, keepdim=True))

    def crps(self, y: Tensor) -> Tensor:
        """The continuous ranked probability score ``E|X - y| - E|X - X'| / 2``, in the unit of the column, ``(B,)``; less is better.

        Reference: Strictly Proper Scoring Rules, Prediction, and Estimation, Gneiting, Raftery, 2007.
        """
        below = self.weights.cumsum(1)
        spread = (below[:, :-1] * (1 - below[:, :-1]) * self.values.diff()).sum(1)
        return (self.weights * (self.values - y.unsqueeze(1)).abs()).sum(1) - spread

    def _at(self, place: Tensor) -> Tensor:
        return self.values.expand(len(self.weights), -1).gather(1, place).squeeze(1)


class Questions(ABC):
    """What can be asked of a density of D columns. In rows x NaN means missing, and what is neither given nor asked is integrated out.

    Attributes:
        kind: "exact", or "estimate" where samples answer.
    """

    kind: str

    @abstractmethod
    def terms(self, x: Tensor, given: Tensor, asked: Tensor, context: Tensor | None = None, gaps: bool = True) -> Tensor:
        """``log p`` of each asked column given the given ones and those asked before it, ``(B, D)``.

        Their sum is ``log p(asked | given)``. Without ``gaps`` it is of values that are known to be there, ``log p(x | not missing)``.
        """

    @abstractmethod
    def complete(self, x: Tensor, given: Tensor, context: Tensor | None = None, gaps: bool = False) -> Tensor:
        """The rows with what is not given drawn from its distribution given the rest, ``(B, D)``; with ``gaps`` it may be missing."""

    @abstractmethod
    def predict(self, i: int, x: Tensor, given: Tensor, context: Tensor | None = None) -> Weighted:
        """The distribution of column i, if it is not missing, given the given ones."""

    def others(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``log p`` of each column given all others, ``(B, D)``: which column makes a row unusual."""
        full = torch.ones(x.shape, dtype=torch.bool, device=x.device)
        terms = []
        for i in range(x.shape[1]):
            asked = torch.zeros_like(full)
            asked[:, i] = True
            terms.append(self.terms(x, full & ~asked, asked, context)[:, i])
        return torch.stack(terms, 1)


class Exact(Questions):
    """Of an any-order model: every conditional is a chain of its own."""

    kind = "exact"

    def __init__(self, flow: Flow):
        layer, base = flow.transform.transforms[0], flow.base
        assert isinstance(layer, Quantize) and isinstance(base, AnyOrder)
        self.flow, self.layer, self.base = flow, layer, base

    def terms(self, x: Tensor, given: Tensor, asked: Tensor, context: Tensor | None = None, gaps: bool = True) -> Tensor:
        codes, within = self.layer.split(x)
        terms = self.base.chain(codes, given, self._embedded(context), asked, gaps)
        return terms + torch.where(asked, within, 0.0)

    def complete(self, x: Tensor, given: Tensor, context: Tensor | None = None, gaps: bool = False) -> Tensor:
        codes = self.base.complete(self.layer.split(x)[0], given, self._embedded(context), gaps)
        drawn = self.layer.inverse(codes.double())[0]
        return torch.where(given, x.double(), drawn)

    def predict(self, i: int, x: Tensor, given: Tensor, context: Tensor | None = None) -> Weighted:
        codes, _ = self.layer.split(x)
        length = len(self.layer.points(i, 1)[0])
        each = max(1, min(16, 2048 // length))
        parts, values, shares = self.layer.points(i, each)
        values, place = values.flatten().unique(return_inverse=True)
        embedded, weights = self._embedded(context), []
        step = max(1, TOGETHER // max(len(values), self.base.cells * self.base.fine))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            log_p = self.base.column(i, codes[rows], given[rows], None if embedded is None else embedded[rows])
            p = log_p.double().index_select(1, parts).softmax(1)
            weights.append(p.new_zeros(len(p), len(values)).index_add_(1, place, (p.unsqueeze(2) * shares).flatten(1)))
        return Weighted(values.unsqueeze(0), torch.cat(weights) if weights else values.new_zeros(0, len(values)))

    def _embedded(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else self.flow.embedding(context)


class Sampled(Questions):
    r"""Of any flow with a density: ``p(b) = E_q[p(a, b) / q(a)]``, the mean over draws from a proposal q; answers are estimates.

    It works where the flow's preprocessing ends, on standardized numbers z, one for each column. For each row the proposal is a
    kernel density around those of the flow's own samples that are nearest in the given columns; draws weighted by ``p / q`` stand for
    the conditional distribution (sampling, importance resampling). Cost: ``draws`` passes of the flow for each row and question.

    Arguments:
        flow: a bijective one, or one whose only randomness is the dequantization of whole numbers.
        pool: samples to look for neighbours in, for each context.
        near: neighbours.
        draws: for each row.

    Raises:
        ValueError: the flow's layers are no bijection behind its preprocessing.
    """

    kind = "estimate"

    def __init__(self, flow: Flow, pool: int = 8192, near: int = 128, draws: int = 256):
        layers = list(flow.transform.transforms)
        ends = [i for i, layer in enumerate(layers) if isinstance(layer, Cast)]
        self.layers = Chain(*layers[: ends[-1] + 1]) if ends else Chain()
        rest = layers[ends[-1] + 1 :] if ends else layers
        self.inner = Flow(flow.base, *rest, context=flow.context_shape, embed=flow.embed)
        if not (self.inner.transform.bijective and self.inner.kind == "exact"):
            raise ValueError("questions: this flow's layers are random, so that conditionals can't be had from it; fit any_order")
        self.pool, self.near, self.draws = pool, near, draws
        self._own: Tensor | None = None  # samples of a flow without context

    def terms(self, x: Tensor, given: Tensor, asked: Tensor, context: Tensor | None = None, gaps: bool = True) -> Tensor:
        terms, known = torch.zeros(x.shape, dtype=torch.float64), given.clone()
        below = self._log_marginal(x, known, context)
        for i in range(x.shape[1]):
            if asked[:, i].any():
                known[:, i] |= asked[:, i]
                above = self._log_marginal(x, known, context)
                terms[:, i] = torch.where(asked[:, i], above - below, 0.0)
                below = torch.where(asked[:, i], above, below)
        return terms

    def complete(self, x: Tensor, given: Tensor, context: Tensor | None = None, gaps: bool = False) -> Tensor:
        candidates, log_weights, _ = self._conditional(x, given, context)
        chosen = torch.distributions.Categorical(logits=log_weights).sample()
        drawn = self.layers.decode(candidates[torch.arange(len(x)), chosen])
        return torch.where(given, x.double(), drawn.double())

    def predict(self, i: int, x: Tensor, given: Tensor, context: Tensor | None = None) -> Weighted:
        candidates, log_weights, _ = self._conditional(x, given, context)
        values = self.layers.decode(candidates.flatten(0, 1))[:, i].double().view(log_weights.shape)
        values, order = values.sort(1)
        return Weighted(values, log_weights.softmax(1).gather(1, order))

    def _log_marginal(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """log p of the known columns, in data units, ``(B,)``."""
        _, log_weights, ldj = self._conditional(x, known, context)
        return log_weights.logsumexp(1) - math.log(log_weights.shape[1]) + ldj

    @torch.no_grad()
    def _conditional(self, x: Tensor, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Candidates z ``(B, S, D)`` that agree with the given columns, ``log p / q`` ``(B, S)``, the given columns' log-det ``(B,)``."""
        z, ldj = self._standardized(torch.where(given, x, self._middle(x)), given)
        found = []
        for row in range(len(x)):
            found.append(self._row(z[row], given[row], None if context is None else context[row : row + 1]))
        candidates, weights = (torch.stack(part) for part in zip(*found))
        return candidates, weights, ldj

    def _row(self, z: Tensor, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        pool = self._samples(context)
        near = pool
        if given.any():
            distance = (pool[:, given] - z[given]).square().sum(1)
            near = pool[distance.topk(min(self.near, len(pool)), largest=False).indices]
        near = near[torch.randperm(len(near))[: self.near]]
        candidates = z.expand(self.draws, -1).clone()
        log_q = candidates.new_zeros(self.draws)
        if not given.all():
            centres = near[:, ~given]
            width = (centres.std(0) * len(near) ** (-1 / (centres.shape[1] + 4))).clamp_min(1e-3)
            drawn = centres[torch.randint(len(centres), (self.draws,))] + width * torch.randn(self.draws, centres.shape[1])
            candidates[:, ~given] = drawn
            off = (drawn.unsqueeze(1) - centres) / width
            log_q = (-0.5 * off.square() - width.log() - 0.5 * math.log(2 * math.pi)).sum(2).logsumexp(1) - math.log(len(centres))
        seen = None if context is None else context.expand(self.draws, -1)
        return candidates, (self.inner.log_prob(candidates, seen) - log_q).double()

    def _samples(self, context: Tensor | None) -> Tensor:
        if context is not None:
            return self.inner.sample((self.pool,), context)[:, 0]
        if self._own is None:
            self._own = self.inner.sample((self.pool,))
        return self._own

    def _standardized(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """z of rows x, and the sum of the log slopes of the given columns."""
        with torch.enable_grad():
            x = x.double().requires_grad_()
            z, _ = self.layers(x)
            (slopes,) = torch.autograd.grad(z.sum(), x)
        return z.detach(), torch.where(given, slopes.abs().log(), 0.0).sum(1)

    def _middle(self, x: Tensor) -> Tensor:
        """A row that the layers can take, for what is not given."""
        like = next((p for p in self.inner.parameters() if p.is_floating_point()), x)
        return self.layers.decode(torch.zeros(1, x.shape[1], dtype=like.dtype, device=x.device)).to(x.dtype)


def questions(flow: Flow) -> Questions:
    """Who answers for a flow: exactly, or by samples."""
    return Exact(flow) if answers_exactly(flow) else Sampled(flow)


def answers_exactly(flow: Flow) -> bool:
    """Whether conditionals of the flow are exact."""
    return isinstance(flow.base, AnyOrder)
