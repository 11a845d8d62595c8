"""Likelihoods whose parameters come from the numbers before, by a causal net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..core import set_aside_infinite, sum_event
from ..likelihoods import Likelihood
from .given import Observed

if TYPE_CHECKING:
    from ..nets import CausalNet

Find = Callable[[Tensor], Tensor]  # parameters h of some numbers to those numbers


class Causal(Observed):
    r"""``p(x|c) = prod_i p(x_i; h_i(x_{<i}, c))``: MADE, PixelCNN, WaveNet, by the choice of net and likelihood.

    The net reads ``likelihood.scaled(x)``. Kind of likelihood: exact. ``log_prob`` takes one pass of the net; draws visit the positions
    in the net's order, by :meth:`CausalNet.unroll`. Draws of real numbers are reparameterised, whole numbers carry no gradient.

    References: MADE, Germain, Gregor, Murray, Larochelle, 2015, arXiv:1502.03509; Pixel Recurrent Neural Networks, van den Oord,
    Kalchbrenner, Kavukcuoglu, 2016, arXiv:1601.06759.

    Arguments:
        likelihood: how one number is spread given its parameters; one that ties channels needs a net that takes them together.
        net: a causal net with ``likelihood.params`` outputs for each number.
        shape: the event's shape ``(C, *rest)``.
        context: the shape of one context, ``None`` for none.

    Raises:
        ValueError: a net whose output has another shape.

    Example::

        >>> from pushforward import likelihoods
        >>> pixels = likelihoods.DiscretizedLogisticMixture(256, components=5, channels=3)
        >>> model = Causal(pixels, MaskedConvNet((3, 8, 8), pixels.params, width=16), (3, 8, 8))
        >>> model.log_prob(model.sample((2,))).shape
        torch.Size([2])
    """

    def __init__(self, likelihood: Likelihood, net: CausalNet, shape: Sequence[int], context: int | Sequence[int] | None = None):
        super().__init__(likelihood, shape, context)
        self.net = net

    def parameters_at(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._shaped(self.net(self.likelihood.scaled(x), context), x.shape[0])

    @property
    def order(self) -> Tensor:
        """The turn of each number, ``(*shape)``: whole numbers, the same for what is found together."""
        turns = torch.zeros(self.shape)
        found = iter(range(turns.numel()))

        def solve(i: int, h: Tensor) -> Tensor:
            return torch.full_like(h[:, 0], next(found))

        return self.net.unroll(solve, 1, self._nothing()).reshape(self.shape).round().long()

    def terms(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``log p(x_i | x_{<i})`` of each number, ``(B, *shape)``, whose sum is the log-likelihood; ``-inf`` outside of the support."""
        self.check(x, context)
        return self.likelihood.log_prob(x, self.parameters_at(x, context))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, infinite = set_aside_infinite(x)
        return torch.where(infinite, -torch.inf, sum_event(self.terms(x, context)))

    def visit(self, find: Find, rows: int, context: Tensor | None = None) -> Tensor:
        """x, ``(rows, *shape)``, turn by turn: ``find(h) -> x`` gets parameters ``(B, params, c)`` and gives numbers ``(B, c)``.

        What is found may be drawn, or known and coded: the arithmetic is the same, to the bit.
        """

        def solve(i: int, h: Tensor) -> Tensor:
            return self.likelihood.scaled(find(self._offset(h).contiguous()))  # random numbers fill memory as it lies

        return self.likelihood.unscaled(self.net.unroll(solve, rows, context))

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        terms: list[Tensor] = []

        def find(h: Tensor) -> Tensor:
            x = self.likelihood.draw(h)
            terms.append(self.likelihood.log_prob(x, h))
            return x

        x = self.visit(find, rows, context)
        return x, sum_event(torch.cat(terms, 1))

    @torch.no_grad()
    def complete(self, x: Tensor, keep: Tensor, context: Tensor | None = None) -> Tensor:
        """Draws from ``p(the rest | what is kept)``, ``(B, *shape)``, where what is kept comes first in the net's order. Exact; one visit.

        Arguments:
            x: what is not kept is not read.
            keep: which numbers are kept, ``(*shape)``, bool.
            context: one embedded row per row.

        Raises:
            ValueError: something that is kept comes after something that is not.
        """
        self.check(x, context)
        known, kept = (self.net.positions(t) for t in (self.likelihood.scaled(x), keep.unsqueeze(0)))
        drawn = False

        def solve(i: int, h: Tensor) -> Tensor:
            nonlocal drawn
            if kept[..., i].all() and not drawn:
                return known[..., i]
            if kept[..., i].any():
                raise ValueError(
                    "Causal: expected to keep what comes first, got a number after one that is drawn; keep rows from the top on"
                )
            drawn = True
            return self.likelihood.scaled(self.likelihood.draw(self._offset(h).contiguous()))

        return self.likelihood.unscaled(self.net.unroll(solve, len(x), context))

    def _nothing(self) -> Tensor | None:
        return None if self.context_shape is None else self.start.new_zeros(1, *self.context_shape)
