"""The contract of likelihoods given parameters."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from ..words import check_counts


class Likelihood:
    """How one number is spread given parameters, ``p(x; h)``, applied elementwise; it has no parameters of its own.

    ``Free``, ``Given`` and ``Causal`` supply h: constants, a net of the context, a causal net. Shapes: ``x`` is ``(B, C, *rest)``, ``h`` is
    ``(B or 1, params, C, *rest)``: the parameters sit next to the batch axis. All functions are elementwise, of the shape of x.
    Outside its support and at infinity ``log_prob`` is ``-inf`` with finite gradients; within, it is finite for any finite h.

    Attributes:
        params: how many numbers ``h`` holds for each number of x.
        start: what is added to a net's output: the ``h`` of a net that gives zeros.
        support: where one number may lie, as torch.distributions describes it.
    """

    params: int
    start: tuple[float, ...]
    support: constraints.Constraint = constraints.real

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Log density, or for whole numbers log probability, in nats."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def draw(self, h: Tensor) -> Tensor:
        """One x for each number that h describes, ``(B, params, C, *rest) -> (B, C, *rest)``; reparameterised where x is continuous."""
        raise NotImplementedError(f"{type(self).__name__} does not define draw")

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        """``P(X <= x)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define cdf")

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        """The least x with ``cdf(x, h) >= u``, for u in (0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} does not define quantile")

    def center(self, h: Tensor) -> Tensor:
        """A typical x for each number that h describes: the median."""
        half = torch.full_like(h[:, 0], 0.5)
        return self.quantile(half, h)

    def scaled(self, x: Tensor) -> Tensor:
        """x as a net should read it: whole numbers brought to (-1, 1)."""
        return x

    def unscaled(self, y: Tensor) -> Tensor:
        """The x of a ``scaled`` y."""
        return y

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name not in ("params", "start", "support"))
        return f"{type(self).__name__}({options})"


class Discrete(Likelihood):
    """A likelihood of the whole numbers ``0..levels-1``: it has probabilities, which sum to 1 for any h.

    Draws are whole numbers and carry no gradient; their log probability does.

    Arguments:
        levels: how many whole numbers, from 0 on.

    Raises:
        ValueError: fewer than one level.
    """

    def __init__(self, levels: int):
        check_counts(type(self).__name__, levels=levels)
        self.levels = levels
        self.support = constraints.integer_interval(0, levels - 1)

    def probabilities(self, h: Tensor) -> Tensor:
        """Of all levels, ``(B or 1, params, C, *rest) -> (B or 1, levels, C, *rest)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define probabilities")

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        total = self.probabilities(h).cumsum(1)
        level = self._level(x).long().unsqueeze(1)
        return self._within(x, total.expand(len(x), -1, *x.shape[1:]).gather(1, level).squeeze(1))

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        return (self.probabilities(h).cumsum(1) < u.unsqueeze(1)).sum(1).clamp(max=self.levels - 1).to(u.dtype)

    def scaled(self, x: Tensor) -> Tensor:
        return (2 * x + 1) / self.levels - 1

    def unscaled(self, y: Tensor) -> Tensor:
        return ((y + 1) * (self.levels / 2)).floor().clamp(0, self.levels - 1)

    def _inside(self, x: Tensor) -> Tensor:
        return (x >= 0) & (x <= self.levels - 1) & (x == x.floor())

    def _level(self, x: Tensor) -> Tensor:
        """A level for each x, whatever it is: clamped before the maths."""
        return x.nan_to_num().floor().clamp(0, self.levels - 1)

    def _within(self, x: Tensor, cdf: Tensor) -> Tensor:
        """A distribution function, which is 0 below the first level and 1 from the last one on."""
        return torch.where(x < 0, torch.zeros_like(cdf), torch.where(x >= self.levels - 1, torch.ones_like(cdf), cdf))


def race(log_weights: Tensor) -> Tensor:
    """An index along axis 1 drawn with these log-weights, which stays as an axis of 1: who arrives first at exponential times."""
    tiny = torch.finfo(log_weights.dtype).tiny
    return (log_weights - torch.empty_like(log_weights).exponential_().clamp_min(tiny).log()).argmax(1, keepdim=True)


def check_bound(name: str, bound: float) -> None:
    """Raise ValueError unless a bound of log-scales is in (0, 30]: beyond, float32 overflows."""
    if not 0 < bound <= 30:
        raise ValueError(f"{name}: bound must be in (0, 30], got {bound}")


def bounded(s: Tensor, bound: float) -> Tensor:
    """A log-scale within ``+-bound``, smoothly: one that is free to shrink overfits to infinite likelihood."""
    return bound * torch.tanh(s / bound)
