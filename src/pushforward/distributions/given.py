"""Likelihoods whose parameters are constants, or what a net reads from the context."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from .. import likelihoods
from ..core import Distribution, LogDensity, sum_event
from ..likelihoods import Likelihood
from .normal import Normal


class Observed(Distribution):
    """Numbers spread by one likelihood, with parameters from somewhere: what :class:`Free`, :class:`Given`, :class:`Causal` share.

    Arguments:
        likelihood: how one number is spread given its parameters.
        shape: the event's shape ``(C, *rest)``.
        context: the shape of one context.
    """

    start: Tensor

    def __init__(self, likelihood: Likelihood, shape: Sequence[int], context: int | Sequence[int] | None = None):
        super().__init__(shape, context)
        self.likelihood = likelihood
        self.register_buffer("start", torch.tensor(likelihood.start).reshape(-1, *(1 for _ in self.shape)), persistent=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self.likelihood.support, len(self.shape))

    def parameters_at(self, x: Tensor, context: Tensor | None) -> Tensor:
        """h for each row of x, ``(B or 1, params, *shape)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define parameters_at")

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        return sum_event(self.likelihood.log_prob(x, self.parameters_at(x, context)))

    def _cdf(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.likelihood.cdf(x, self.parameters_at(x, context))

    def _icdf(self, q: Tensor, context: Tensor | None) -> Tensor:
        return self.likelihood.quantile(q, self.parameters_at(q.to(self.start.dtype), context))

    def _shaped(self, h: Tensor, rows: int) -> Tensor:
        """What a net gives, ``(rows, params * C, *rest)``, as parameters ``(rows, params, C, *rest)``, in float32 or better."""
        expected = (rows, self.likelihood.params * self.shape[0], *self.shape[1:])
        if h.shape != expected:
            raise ValueError(f"{type(self).__name__}: expected a net that gives {expected}, got {tuple(h.shape)}")
        return self._offset(h.reshape(rows, self.likelihood.params, *self.shape))

    def _offset(self, h: Tensor) -> Tensor:
        """A net that gives zeros stands at the likelihood's start."""
        return h.to(torch.promote_types(h.dtype, torch.float32)) + self.start.view(-1, *(1 for _ in h.shape[2:]))

    def extra_repr(self) -> str:
        return repr(self.likelihood)


class Free(Observed):
    """``p(x) = prod_i p(x_i; h_i)`` with learned constants h: independent numbers, each with parameters of its own.

    Example::

        >>> from pushforward import likelihoods
        >>> bits = Free(likelihoods.Bernoulli(), (28, 28))
        >>> bits.log_prob(bits.sample((5,))).shape
        torch.Size([5])
    """

    def __init__(self, likelihood: Likelihood, shape: Sequence[int]):
        super().__init__(likelihood, shape)
        self.h = nn.Parameter(self.start.expand(1, likelihood.params, *self.shape).clone())

    def parameters_at(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.h

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.likelihood.draw(self.h.expand(rows, *self.h.shape[1:]))
        return x, sum_event(self.likelihood.log_prob(x, self.h))

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        return self.likelihood.center(self.h.expand(rows, *self.h.shape[1:]))


class Given(Observed):
    """``p(x|c) = prod_i p(x_i; h_i(c))`` with h from a net that reads the context: a decoder, an encoder, a conditional base.

    Arguments:
        likelihood: how one number is spread given its parameters.
        net: from contexts ``(B, *context)`` to ``(B, params * C, *rest)``, seen as ``(B, params, C, *rest)``, as ``Coupling`` has it.
        shape: the event's shape ``(C, *rest)``.
        context: the shape of one context, an int for a vector.

    Raises:
        ValueError: no context, or a net whose output has another shape.

    Example::

        >>> from pushforward import likelihoods
        >>> decoder = Given(likelihoods.Normal(), nn.Linear(5, 6), (3,), context=5)
        >>> decoder.log_prob(torch.randn(8, 3), torch.randn(8, 5)).shape, decoder.sample((2,), torch.randn(8, 5)).shape
        (torch.Size([8]), torch.Size([2, 8, 3]))
    """

    def __init__(self, likelihood: Likelihood, net: nn.Module, shape: Sequence[int], context: int | Sequence[int]):
        super().__init__(likelihood, shape, context)
        if self.context_shape is None:
            raise ValueError("Given: expected the shape of one context, got none; Free needs no context")
        self.net = net

    def parameters_of(self, context: Tensor | None) -> Tensor:
        """h for each row of a context, ``(B, params, *shape)``: what ``likelihood.probabilities`` and ``cdf`` take."""
        if context is None:
            raise ValueError("Given: needs a context, got none; give one row per draw")
        return self._shaped(self.net(context), context.shape[0])

    def parameters_at(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.parameters_of(context)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.parameters_of(context)
        x = self.likelihood.draw(h)
        return x, sum_event(self.likelihood.log_prob(x, h))

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        return self.likelihood.center(self.parameters_of(context))

    def draw_and_kl(self, prior: LogDensity, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not (isinstance(self.likelihood, likelihoods.Normal) and isinstance(prior, Normal)):
            return super().draw_and_kl(prior, rows, context)
        h = self.parameters_of(context)
        return self.likelihood.draw(h), sum_event(self.likelihood.kl_from_standard(h))
