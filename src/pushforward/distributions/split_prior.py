"""A prior of which some channels are given by the others, and the order in which a coder finds its numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import constraints

from ..core import Distribution, Flow, join
from ..likelihoods import Likelihood
from .given import Observed

SolvePart = Callable[[Likelihood, Tensor], Tensor]  # how numbers are spread, h (B or 1, params, *shape) -> the numbers (B, *shape)


class SplitPrior(Distribution):
    r"""``p(x) = p_rest(x_kept) p_part(x_left | x_kept)``: the leading channels have a model of their own, the others are given them.

    With a :class:`Flow` as ``rest`` this is the prior of a multi-scale flow: half of the channels leave at each scale, and what they are
    expected to be follows from those that go on. Unlike :class:`~pushforward.transforms.Factor`, which moves and scales what leaves, it
    asks for no map: what leaves may be whole numbers. Kind of likelihood: that of the two. Cost: that of the two.

    References: Density Estimation using Real NVP, Dinh, Sohl-Dickstein, Bengio, 2016, arXiv:1605.08803, section 3.6; Integer Discrete
    Flows, Hoogeboom, Peters, van den Berg, Welling, 2019, arXiv:1905.07376, section 4.

    Arguments:
        rest: the distribution of the channels that go on, ``(K, *space)``.
        part: that of those that leave, ``(L, *space)``, given ``x_kept / scale`` joined with the context: what its context has beside
            ``(K, *space)`` are channels of the context of both.
        scale: what is kept is divided by it before ``part`` reads it.

    Raises:
        ValueError: the two have other space, ``part`` does not take what is kept, or ``rest`` another context.

    Example::

        >>> from pushforward import likelihoods
        >>> bits = likelihoods.Bernoulli()
        >>> part = Given(bits, ConvNet(1, 2, width=8), (2, 4, 4), context=(1, 4, 4))
        >>> prior = SplitPrior(Free(bits, (1, 4, 4)), part)
        >>> prior.log_prob(prior.sample((5,))).shape
        torch.Size([5])
    """

    def __init__(self, rest: Distribution, part: Distribution, scale: float = 1.0):
        kept, *space = rest.shape
        left, *other = part.shape
        if space != other:
            raise ValueError(f"SplitPrior: rest and part must have the same space, got {tuple(rest.shape)} and {tuple(part.shape)}")
        given, *place = part.context_shape or (0,)
        if place != space or given < kept:
            raise ValueError(f"SplitPrior: part must take the context {tuple(rest.shape)}, or more channels, got {(given, *place)}")
        if rest.context_shape not in (None, (given - kept,)):
            raise ValueError(f"SplitPrior: rest must take the context {(given - kept,)} or none, got {tuple(rest.context_shape)}")
        super().__init__((kept + left, *space), given - kept)
        self.rest, self.part, self.scale = rest, part, scale

    @property
    def support(self) -> constraints.Constraint:
        return self.part.support

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        kept, left = self.split(x)
        return self.rest(kept, self.rest.seen(context)) + self.part(left, self.given(kept, context))

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, first = self.rest.draw(rows, self.rest.seen(context))
        left, second = self.part.draw(rows, self.given(kept, context))
        return torch.cat([kept, left], 1), first + second

    def center(self, rows: int, context: Tensor | None = None) -> Tensor:
        kept = self.rest.center(rows, self.rest.seen(context))
        return torch.cat([kept, self.part.center(rows, self.given(kept, context))], 1)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        kept, left = self.split(x)
        self.rest.initialize(kept, self.rest.seen(context))
        self.part.initialize(left, self.given(kept, context))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes on, and what leaves."""
        kept, left = x.split([self.rest.shape[0], self.part.shape[0]], 1)
        return kept, left

    def given(self, kept: Tensor, context: Tensor | None) -> Tensor:
        """The context of what leaves."""
        return join(kept / self.scale, context)

    def extra_repr(self) -> str:
        return f"kept={self.rest.shape[0]}, left={self.part.shape[0]}, scale={self.scale:g}"


def unroll(model: Distribution, solve: SolvePart, rows: int, context: Tensor | None = None) -> Tensor:
    """x ``(rows, *shape)``, found part by part, each given those before it: the one code path of drawing, encoding and decoding.

    ``solve(likelihood, h)`` is called with the parameters of each part in turn, the coarsest first, and gives its numbers: drawn, known
    (:func:`parts`), or decoded. Numbers of one part are independent given h. Layers are inverted on the way, so that every net is evaluated
    once. A coder evaluates batches of one size and on one machine: sums in another order can round another way.

    Arguments:
        model: :class:`Free` and :class:`Given`, alone or within :class:`SplitPrior` and flows.
        solve: what gives the numbers of a part.
        rows: how many.
        context: one embedded row for each.

    Raises:
        ValueError: something else stands in the model.

    Example::

        >>> model = models.idf((1, 4, 4), levels=4, scales=1, steps=1, width=8)
        >>> unroll(model, lambda likelihood, h: likelihood.draw(h.expand(2, *h.shape[1:])), 2).shape
        torch.Size([2, 1, 4, 4])
    """
    if isinstance(model, Flow):
        return model.transform.decode(unroll(model.base, solve, rows, model.base.seen(context)), context)
    if isinstance(model, SplitPrior):
        kept = unroll(model.rest, solve, rows, model.rest.seen(context))
        return torch.cat([kept, unroll(model.part, solve, rows, model.given(kept, context))], 1)
    return solve(_observed(model).likelihood, _observed(model).parameters_at(torch.empty(rows), context))


def parts(model: Distribution, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
    """The latent numbers of x in the order in which :func:`unroll` asks for them, errors as there.

    Example::

        >>> model = models.idf((1, 4, 4), levels=4, scales=1, steps=1, width=8)
        >>> x = torch.randint(4, (2, 1, 4, 4)).float()
        >>> known = iter(parts(model, x))
        >>> torch.equal(unroll(model, lambda likelihood, h: next(known), 2), x)
        True
    """
    if isinstance(model, Flow):
        return parts(model.base, model.transform.encode(x, context), model.base.seen(context))
    if isinstance(model, SplitPrior):
        kept, left = model.split(x)
        return [*parts(model.rest, kept, model.rest.seen(context)), *parts(model.part, left, model.given(kept, context))]
    _observed(model)
    return [x]


def _observed(model: Distribution) -> Observed:
    if not isinstance(model, Observed):
        raise ValueError(f"unroll: expected Free or Given, within SplitPrior and flows, got {type(model).__name__}")
    return model
