"""The power series of a log-determinant, ended at random so that its mean is that of all terms."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ..core import readable
from .probes import RowMap

Tail = Literal["geometric", "poisson"]
IMPROBABLE = 2.0**-24  # in a graph, where the number of terms can't be looked at, the tail ends where it would be that improbable


def roulette(x: Tensor, terms: int, tail: Tail | None, mean: float, *, rowwise: bool) -> list[Tensor]:
    r"""Factors of the terms of a series, 1 for the first ``terms`` of them and ``1 / P(N >= j)`` for j more up to a random N.

    Each is ``(1,)``, or ``(B,)`` if each row of x has a number N of its own. N is drawn on the CPU, so that no device has to be waited for.
    """
    factors = [x.new_ones(1)] * terms
    if tail is None:
        return factors
    level = 1 - torch.rand(x.shape[0] if rowwise else 1, dtype=torch.float64, device="cpu")
    while True:
        chance = survival(tail, mean, len(factors) - terms + 1)
        drawn = level <= chance
        if not drawn.any() if readable() else chance < IMPROBABLE:
            return factors
        factors.append((drawn / chance).to(x.device, x.dtype))


def survival(tail: Tail, mean: float, count: int) -> float:
    """``P(N >= count)`` of a number of that mean."""
    if tail == "geometric":
        return (mean / (1 + mean)) ** count
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count, count + 40 + math.ceil(4 * mean)))


def log_det_series(pull: RowMap, probes: Tensor, factors: list[Tensor]) -> Tensor:
    r"""An estimate of ``log det(I + J) = sum_k (-1)^{k+1} tr(J^k) / k`` of each row, ``(B,)``, and of its gradient.

    With probes e and ``v_k = (J^T)^k e`` the value is the mean of ``sum_k (-1)^{k+1} w_k <v_k, e> / k``. Its gradient is the Neumann
    series ``tr((I + J)^-1 dJ)``: that of ``<J^T s, e>`` where ``s = sum_{k >= 0} (-1)^k w_k v_k`` is held still (``w_0 = 1``). So all
    products but the last are made without a graph, and memory is that of one, however many terms there are.

    Arguments:
        pull: ``v -> J^T v``.
        probes: e, ``(K, B, *shape)``, of mean 0 and variance 1.
        factors: w_1, w_2, ...
    """
    with torch.no_grad():
        v, s, value = probes, probes, probes.new_zeros(probes.shape[1])
        for k, factor in enumerate(factors, 1):
            v = pull(v)
            signed = factor if k % 2 else -factor
            value = value + signed / k * trace(v, probes)
            s = s - signed.view(-1, *(1 for _ in v.shape[2:])) * v
    if not torch.is_grad_enabled():
        return value
    neumann = trace(pull(s.detach()), probes)
    return value.detach() + neumann - neumann.detach()


def trace(products: Tensor, probes: Tensor) -> Tensor:
    """The mean of ``<v, e>`` over K probes, ``(B,)``."""
    return (products * probes).flatten(2).sum(2).mean(0)


def truncation(dim: int, lipschitz: float, terms: int) -> float:
    r"""By how much the first ``terms`` terms may miss the log-determinant: ``D sum_{k > n} L^k / k``."""
    return dim * (-math.log1p(-lipschitz) - math.fsum(lipschitz**k / k for k in range(1, terms + 1)))
