"""What models something: a base, a flow, a conditional likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from .readable import readable
from .term import Term
from .transform import Transform

if TYPE_CHECKING:
    from .condition import Conditioned

DISTANT = 1e9  # beyond this a density that is no number is one that overflowed
CHUNK = 2**20  # numbers drawn at a time by `sample`: large enough to be fast, small enough to stay in memory


class Entry(NamedTuple):
    """In which dtype and on which device rows enter a model."""

    dtype: torch.dtype
    device: torch.device


class LogDensity(Protocol):
    """What a divergence asks of a prior."""

    def log_prob(self, x: Tensor, /) -> Tensor:
        """Log density in nats, ``(B, *shape) -> (B,)``."""


class Distribution(Term):
    """A distribution over events of a fixed shape, conditional if it has a ``context_shape``.

    Subclasses give :meth:`log_prob` and :meth:`draw`; sampling in any shape and for any batch of contexts follows.

    Arguments:
        shape: the event's shape, without batch.
        context: the shape of one raw context (an int for a vector), ``None`` or 0 for none.
    """

    def __init__(self, shape: Sequence[int], context: int | Sequence[int] | None = None):
        super().__init__()
        self.shape = Size(shape)
        self.context_shape = Size([context] if isinstance(context, int) else context) if context else None

    @property
    def kind(self) -> str:
        """What ``log_prob`` returns: ``"exact"``, ``"bound"`` (on average below) or ``"estimate"`` (unbiased noise)."""
        if self.stochastic_forward:
            return "bound"
        return "estimate" if self.estimate else "exact"

    @property
    def support(self) -> constraints.Constraint:
        """Where the density may be positive, as torch.distributions describes it."""
        return constraints.independent(constraints.real, len(self.shape))

    @property
    def entry(self) -> Entry:
        """How rows enter: as the layer that asks for a dtype wants them (``Cast``: float64), else as the parameters are."""
        held = (t for t in chain(self.parameters(), self.buffers()) if t.is_floating_point())
        like = next(held, torch.empty(0))
        asked = (layer.takes for layer in self.modules() if isinstance(layer, Transform) and layer.takes is not None)
        return Entry(next(asked, like.dtype), like.device)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log density in nats, ``(B, *shape) -> (B,)``; ``-inf`` outside the support."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``rows`` independent reparameterised draws and their log density; ``context``: one embedded row per draw."""
        raise NotImplementedError(f"{type(self).__name__} does not define draw")

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        """A typical event without noise for each embedded context, ``(rows, *shape)``: medians of numbers, of a flow the image of its
        base's; a draw where there is no natural choice.
        """
        return self.draw(rows, context)[0]

    def draw_and_kl(self, prior: LogDensity, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws z as :meth:`draw` and ``KL(self || prior)`` for each row: in closed form where there is one, which is where both are
        normal, else ``log q(z) - log p(z)`` of the draw.
        """
        z, log_q = self.draw(rows, context)
        return z, log_q - prior.log_prob(z)

    def cdf(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``P(X <= x)`` where the event is one number, ``(B, *shape) -> (B,)``.

        Raises:
            ValueError: the event is more than one number, or its distribution function is not known.
        """
        self.check(x, context)
        self._check_one("cdf")
        finite, infinite = set_aside_infinite(x)
        return torch.where(infinite, (x > 0).flatten().to(x.dtype), self._cdf(finite, context).flatten())

    def icdf(self, q: Tensor, context: Tensor | None = None) -> Tensor:
        """The quantiles at levels in (0, 1) where the event is one number, ``(B,) -> (B, *shape)``; errors as of :meth:`cdf`."""
        self._check_context(len(q), context)
        self._check_one("icdf")
        if not bool(((q >= 0) & (q <= 1)).all()):
            raise ValueError(f"{type(self).__name__}: expected levels of quantiles in (0, 1), got {q.min():g} to {q.max():g}")
        return self._icdf(q.reshape(-1, *(1 for _ in self.shape)), context)

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        raise ValueError(f"{type(self).__name__}: its distribution function is not known; take the share of draws from sample")

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        raise ValueError(f"{type(self).__name__}: its quantiles are not known; take those of draws from sample")

    def _check_one(self, what: str) -> None:
        if math.prod(self.shape) != 1:
            event = tuple(self.shape)
            raise ValueError(f"{type(self).__name__}: {what} is of one number, but an event has shape {event}; take draws from sample")

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Data-dependent start from one batch of x and its embedded context."""

    def embedding(self, context: Tensor) -> Tensor:
        """What the layers see of a raw context ``(N, *context_shape)``."""
        return context

    def seen(self, context: Tensor | None) -> Tensor | None:
        """What a model around this one gives it: its layers may ignore a context, a distribution refuses one that it does not take."""
        return None if self.context_shape is None else context

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """:meth:`log_prob`: what DDP, FSDP and torch.compile wrap."""
        return self.log_prob(x, context)

    def sample_and_log_prob(self, shape: int | Sequence[int] = (), context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reparameterised draws ``(*shape, *context_batch, *event)`` and their log density, without the event axes."""
        shape = sizes_of(shape)
        flat, batch = self._flat(context)
        if flat is not None:
            flat = self.embedding(flat)
            flat = flat.expand(math.prod(shape), *flat.shape).flatten(0, 1)  # (n, C, ...) -> (n * C, ...)
        x, log_prob = self.draw(math.prod(shape + batch), flat)
        return x.reshape(shape + batch + self.shape), log_prob.reshape(shape + batch)

    @torch.no_grad()
    def sample(self, shape: int | Sequence[int] = (), context: Tensor | None = None) -> Tensor:
        """Draws ``(*shape, *context_batch, *event)``, as torch.distributions orders them; large requests in chunks.

        ``sample(5)`` is ``sample((5,))``.
        """
        shape = sizes_of(shape)
        flat, batch = self._flat(context)
        if flat is not None:
            flat = self.embedding(flat)
        rows, step = math.prod(shape + batch), max(1, CHUNK // max(1, math.prod(self.shape)))
        parts = []
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            index = None if flat is None else torch.arange(start, stop, device=flat.device) % flat.shape[0]
            parts.append(self._sample_rows(stop - start, None if flat is None or index is None else flat.index_select(0, index)))
        x = torch.cat(parts) if parts else self._sample_rows(0, None if flat is None else flat[:0])
        return x.reshape(shape + batch + self.shape)

    def _sample_rows(self, rows: int, context: Tensor | None) -> Tensor:
        return self.draw(rows, context)[0]

    def condition(self, context: Tensor | None = None) -> Conditioned:
        """This distribution at given contexts as a ``torch.distributions.Distribution`` (batch_shape = context batch)."""
        from .condition import Conditioned

        return Conditioned(self, context)

    def check(self, x: Tensor, context: Tensor | None) -> None:
        """Raise ValueError unless x is ``(B, *shape)`` and there is one context row for each row."""
        self._check_rows("x", x, self.shape)
        self._check_context(x.shape[0], context)

    def _check_rows(self, what: str, x: Tensor, shape: Size) -> None:
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise ValueError(f"{name}: expected {what} as a tensor, got {type(x).__name__}; give torch.as_tensor({what}).float()")
        if x.shape[1:] != shape or x.dim() == 0:
            raise ValueError(f"{name}: expected {what} of shape (B, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"{name}: expected floating point {what}, got {x.dtype}; convert it, as with {what}.double()")

    def _check_context(self, rows: int, context: Tensor | None) -> None:
        batch = self._flat(context)[1]
        if context is not None and batch != (rows,):
            expected = (rows, *context.shape[len(batch) :])
            raise ValueError(f"{type(self).__name__}: expected context {expected}, one row per row of x, got {tuple(context.shape)}")

    def _flat(self, context: Tensor | None) -> tuple[Tensor | None, Size]:
        """Contexts ``(*batch, *context_shape)`` as rows, and their batch shape; nothing for an unconditional one."""
        name = type(self).__name__
        if self.context_shape is None:
            if context is not None:
                raise ValueError(f"{name}: takes no context, but one was given; leave it out, or build the model with context=K")
            return None, Size()
        sizes, event = ", ".join(map(str, self.context_shape)), len(self.context_shape)
        if context is None:
            raise ValueError(f"{name}: needs a context of shape (*batch, {sizes}), got none")
        if not isinstance(context, Tensor):
            raise ValueError(f"{name}: expected context as a tensor, got {type(context).__name__}; give torch.as_tensor(context).float()")
        if context.dim() < event or context.shape[context.dim() - event :] != self.context_shape:
            raise ValueError(f"{name}: expected context (*batch, {sizes}), got {tuple(context.shape)}")
        batch = context.shape[: context.dim() - event]
        return context.reshape(-1, *self.context_shape), batch


def sizes_of(shape: int | Sequence[int]) -> Size:
    """How many draws, as a number or as the shape they come in.

    Raises:
        ValueError: something else, or a negative size.
    """
    sizes = (shape,) if isinstance(shape, Integral) else tuple(shape) if isinstance(shape, Sequence) else ("",)
    if not all(isinstance(size, Integral) and int(size) >= 0 for size in sizes):
        raise ValueError(f"sample: expected a number of draws, or a shape such as (5,), got {shape!r}")
    return Size(map(int, sizes))


def near(x: Tensor) -> bool:
    """Whether no number of x is so far out that infinity or overflow has to be thought of; also no where it can't be looked at."""
    if not x.numel() or not readable(x):
        return False
    least, greatest = x.detach().aminmax()
    return least.item() >= -DISTANT and greatest.item() <= DISTANT  # not of NaN


def clear_overflow(log_prob: Tensor, x: Tensor) -> Tensor:
    """Log densities ``(B,)`` with ``-inf`` for NaN in rows of x so far out that numbers overflowed on the way; a NaN in x itself stays one.

    Near the data a NaN stays too: there, parameters or arithmetic are at fault.
    """
    far = x.detach().abs().flatten(1).amax(1) > DISTANT
    return log_prob.masked_fill(log_prob.isnan() & far, -torch.inf)


def set_aside_infinite(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with finite numbers in the rows that hold an infinite one, and which those are: ``(B, ...) -> (B, ...), (B,)``.

    Their density is 0, which no arithmetic that leads through infinity can be trusted to find. Rows with a NaN stay as they are.
    """
    infinite = x.detach().abs().flatten(1).amax(1) == torch.inf
    return torch.where(infinite.reshape(-1, *(1 for _ in x.shape[1:])), 0.5, x), infinite  # logarithms and logits can take 0.5
