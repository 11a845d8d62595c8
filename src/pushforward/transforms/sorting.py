"""Sets: numbers or points whose order says nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core import Transform, zeros
from ..words import check_counts


class Sort(Transform):
    r"""Puts a set in order, ``x_1, ..., x_L -> x_(1) <= ... <= x_(L)``; ``ldj = -log L!``. The inverse draws an order at random.

    The density is that of an exchangeable set: it does not depend on the order in which the members come. Members are the numbers of a
    vector ``(B, L)``, or points ``(B, C, L)`` of C coordinates each, which are ordered by one of them. Exact; ``decode`` leaves the order
    as it is. Cost O(L log L).

    What is sorted lives in a cone, one of the L! parts of the space, and so must what stands behind: :class:`Gaps` next leads from the
    cone to the whole space. A normal base directly behind would keep most of its mass where nothing is in order: the likelihood is then too
    low by up to log L!, 148.5 nats for 50 points.

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731 (sorting surjection).

    Arguments:
        key: the coordinate of points that orders them; without effect on vectors.

    Raises:
        ValueError: ``key`` is no whole number of at least 0, or x is neither a vector nor points with that coordinate.

    Example::

        >>> Sort()(torch.tensor([[3.0, 1.0, 2.0]]))[0]
        tensor([[1., 2., 3.]])
    """

    stochastic_inverse = True

    def __init__(self, key: int = 0):
        super().__init__()
        check_counts("Sort", least=0, key=key)
        self.key = key

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        order = coordinate("Sort", self.key, x).argsort(-1)
        return ordered(x, order), zeros(x) - math.lgamma(x.shape[-1] + 1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        order = torch.rand_like(coordinate("Sort", self.key, z)).argsort(-1)
        return ordered(z, order), zeros(z) + math.lgamma(z.shape[-1] + 1)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z

    def extra_repr(self) -> str:
        return f"key={self.key}"


class StochasticPermutation(Transform):
    r"""Puts a set in an order drawn at random, in either direction; ``ldj = 0``.

    Makes any density exchangeable: ``log p(x) = log mean over orders of p(x in that order)``, of which one draw gives a lower bound, and
    ``log_prob(x, samples=K)`` a tighter one; with thousands of orders and a model that prefers one it stays loose. :class:`Sort` is
    exact. Members are the numbers of a vector ``(B, L)``, or points ``(B, C, L)``. ``encode`` and ``decode`` leave the order as it is.
    Cost O(L log L).

    Reference: SurVAE Flows, Nielsen, Jaini, Hoogeboom, Winther, Welling, 2020, arXiv:2007.02731 (stochastic permutation).

    Raises:
        ValueError: x is neither a vector nor points.

    Example::

        >>> z, ldj = StochasticPermutation()(torch.randn(8, 2, 5))
        >>> z.shape, ldj.shape
        (torch.Size([8, 2, 5]), torch.Size([8]))
    """

    stochastic_forward = True
    stochastic_inverse = True

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._shuffled(x), zeros(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._shuffled(z), zeros(z)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z

    def _shuffled(self, x: Tensor) -> Tensor:
        return ordered(x, torch.rand_like(coordinate("StochasticPermutation", 0, x)).argsort(-1))


def coordinate(who: str, key: int, x: Tensor) -> Tensor:
    """One coordinate of each member of a set, ``(B, L)`` or ``(B, C, L) -> (B, L)``."""
    if x.dim() == 2:
        return x
    if x.dim() != 3 or x.shape[1] <= key:
        raise ValueError(f"{who}: expected numbers (B, L) or points (B, C, L) with a coordinate {key}, got {tuple(x.shape)}")
    return x[:, key]


def ordered(x: Tensor, order: Tensor) -> Tensor:
    """The members of a set in the order ``(B, L)``."""
    return x.gather(-1, order if x.dim() == 2 else order.unsqueeze(1).expand_as(x))
