"""The VampPrior: a mixture of the encoder's own posteriors, at inputs that are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..core import DataDependent, Distribution, Flow, set_aside_infinite, sum_event, zeros
from ..words import check_counts
from .given import Given

SLACK = 0.02  # of the range, that rows on a bound are moved inwards: on it a sigmoid has no gradient
APART = 0.1  # noise on rows that are taken more than once


class PseudoInputs(DataDependent):
    r"""The K learned inputs u of a VampPrior, as the first net of its encoder: it passes x on as it is, and starts from the rows it sees.

    ``u = low + (high - low) sigmoid(v)``: within the data's range, and never without a gradient (the paper clips). Before a start from data
    v is standard normal. :meth:`rows` gives u.

    Arguments:
        shape: of one x as the encoder gets it.
        components: K.
        bounds: the range of x; ``None`` leaves u free.

    Raises:
        ValueError: fewer than one component, or bounds that are not in order.

    Example::

        >>> u = PseudoInputs((1, 28, 28), 100)
        >>> u.rows().shape
        torch.Size([100, 1, 28, 28])
    """

    def __init__(self, shape: Sequence[int], components: int, bounds: tuple[float, float] | None = (0.0, 1.0)):
        super().__init__()
        check_counts("PseudoInputs", components=components)
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"PseudoInputs: expected bounds (low, high) with low < high, got {bounds}")
        self.bounds, self.starting_rows = bounds, components
        self.v = nn.Parameter(torch.randn(components, *shape))

    def forward(self, x: Tensor) -> Tensor:
        return x

    def rows(self) -> Tensor:
        """u: ``(K, *shape)``."""
        if self.bounds is None:
            return self.v
        low, high = self.bounds
        return low + (high - low) * torch.sigmoid(self.v)

    @torch.no_grad()
    def initialize(self, *inputs: Tensor | None) -> None:
        """Start from the first rows, in turn again, a little apart, if they are fewer than K."""
        (x,) = inputs
        if x is None or not len(x):
            return
        index = torch.arange(len(self.v), device=x.device) % len(x)
        v = x.index_select(0, index).to(self.v.dtype)
        if self.bounds is not None:
            low, high = self.bounds
            v = torch.logit(((v - low) / (high - low)).clamp(SLACK, 1 - SLACK))
        again = (torch.arange(len(self.v), device=x.device) >= len(x)).reshape(-1, *(1 for _ in v.shape[1:]))
        self.v.copy_(torch.where(again, v + APART * torch.randn_like(v), v))

    def extra_repr(self) -> str:
        return f"{tuple(self.v.shape[1:])}, components={len(self.v)}, bounds={self.bounds}"


class VampPrior(Distribution):
    r"""``p(z) = 1/K sum_k q(z | u_k)``: a mixture of the VAE's own posteriors at K learned pseudo-inputs u.

    The best prior is the aggregated posterior, the mixture of ``q(z | x)`` over all the data; this is one over K inputs that are learned
    with the rest. ``encoder`` is the very module that the ``VAE`` layer holds: gradients of both meet in its weights. They are that layer's
    parameters and none of the prior's own, so that a state dict, an optimizer and ``torch.func`` meet them once; what moves or copies the
    whole model keeps the tie.

    Cost: one pass of the encoder for the K inputs each time it is asked (with K = 500 and batches of 100 that is five times the encoder's
    own work), and B K densities of z, cheap where the posterior is normal. Draws take a component at random (the reference code takes the
    first ones) and carry no gradient to that choice.

    Reference: VAE with a VampPrior, Tomczak, Welling, 2017, arXiv:1705.07120.

    Arguments:
        encoder: of the VAE layer; a posterior with layers should be one whose density of a given z is fast (a coupling, not an IAF).
        inputs: the pseudo-inputs; put it first in the encoder's net as well, so that it starts from data.

    Raises:
        ValueError: an encoder without a context, or pseudo-inputs of another shape than its context.

    Example::

        >>> from pushforward import likelihoods
        >>> u = PseudoInputs((6,), 10)
        >>> encoder = Given(likelihoods.Normal(), nn.Sequential(u, nn.Linear(6, 4)), (2,), context=6)
        >>> prior = VampPrior(encoder, u)
        >>> prior.log_prob(prior.sample((8,))).shape
        torch.Size([8])
    """

    def __init__(self, encoder: Distribution, inputs: PseudoInputs):
        super().__init__(encoder.shape)
        if encoder.context_shape != inputs.v.shape[1:]:
            context = None if encoder.context_shape is None else tuple(encoder.context_shape)
            raise ValueError(
                f"VampPrior: pseudo-inputs of shape {tuple(inputs.v.shape[1:])} do not fit an encoder whose context is {context}"
            )
        self._tied = encoder, inputs  # in a tuple modules are not registered

    @property
    def encoder(self) -> Distribution:
        return self._tied[0]

    @property
    def inputs(self) -> PseudoInputs:
        return self._tied[1]

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self.check(x, context)
        x, infinite = set_aside_infinite(x)
        return self._mixed(x).masked_fill(infinite, -torch.inf)

    def draw(self, rows: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = self._sample_rows(rows, None)
        return z, self._mixed(z)

    def _sample_rows(self, rows: int, context: Tensor | None) -> Tensor:
        u = self.inputs.rows()
        k = torch.randint(len(u), (rows,), device=u.device)
        return self.encoder.draw(rows, self.encoder.embedding(u).index_select(0, k))[0]

    def _mixed(self, z: Tensor) -> Tensor:
        u = self.inputs.rows()
        if z.is_meta and not u.is_meta:  # a model that finds its shapes out moves what is registered, layer by layer
            return zeros(z)
        return log_prob_at_each(self.encoder, z, u).logsumexp(1) - math.log(len(u))

    def extra_repr(self) -> str:
        return f"components={len(self.inputs.v)}"


def log_prob_at_each(distribution: Distribution, x: Tensor, context: Tensor) -> Tensor:
    """``log p(x_b | c_k)`` of every row of x at every one of K contexts: ``(B, *shape)`` and ``(K, *context) -> (B, K)``.

    Nets that read the context alone take K rows, not B K: the flow's ``embed``, and the parameters of a :class:`Given`. What is left, the
    likelihood or the flow's layers, takes B K rows at once.
    """
    if isinstance(distribution, Flow):
        context = distribution.embedding(context)
        if not len(distribution.transform.transforms) and distribution.base.context_shape is not None:
            return log_prob_at_each(distribution.base, x, context)
    count = len(context)
    rows = x.repeat_interleave(count, 0)  # (B K, *shape), components go fastest
    if isinstance(distribution, Given):
        h = distribution.parameters_of(context)
        found = sum_event(distribution.likelihood.log_prob(rows, h.repeat(len(x), *(1 for _ in h.shape[1:]))))
    else:
        context = context.repeat(len(x), *(1 for _ in context.shape[1:]))
        if isinstance(distribution, Flow):
            z, ldj = distribution.transform(rows, context)
            found = distribution.base.log_prob(z, distribution.base.seen(context)) + ldj
        else:
            found = distribution.log_prob(rows, context)
    return found.unflatten(0, (len(x), count))
