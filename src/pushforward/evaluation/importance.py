"""Importance sampling with a flow as the proposal: normalizer, weights, and how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from ..core import Distribution
from ..objectives.reverse import checked_log_prob, draws

DRAWS_AT_ONCE = 8192  # rows at a time


@dataclass(frozen=True)
class Importance:
    r"""Draws of a flow q with their weights ``w = p~(x) / q(x)``. Estimates have the shape of the context's batch, () without one.

    Attributes:
        x: the draws, ``(n, *context_batch, *shape)``.
        log_ratio: ``log w = log p~(x) - log q(x)``, ``(n, *context_batch)``, in float64.
    """

    x: Tensor
    log_ratio: Tensor

    @property
    def log_weight(self) -> Tensor:
        """Normalized: ``exp(log_weight)`` sums to 1 over axis 0, and ``sum_i exp(log_weight_i) f(x_i)`` estimates ``E_p f``."""
        return self.log_ratio.log_softmax(0)

    @property
    def log_z(self) -> Tensor:
        """``log mean w``; the mean is unbiased for Z."""
        return self.log_ratio.logsumexp(0) - math.log(len(self.log_ratio))

    @property
    def log_z_stderr(self) -> Tensor:
        """Standard error of :attr:`log_z`, ``std(w) / (mean(w) sqrt(n))`` (delta method); too small if the weights' tail is heavy."""
        return ((1 / self.ess - 1).clamp_min(0) / max(1, len(self.log_ratio) - 1)).sqrt()

    @property
    def elbo(self) -> Tensor:
        """``mean log w``, on average ``log Z - KL(q || p)``; ``-inf`` if a draw fell where p~ is zero."""
        return self.log_ratio.mean(0)

    @property
    def ess(self) -> Tensor:
        """Effective sample size as a share of n, ``(sum w)^2 / (n sum w^2)``: 1 where q = p, 1/n where one draw has all the weight."""
        return (-(2 * self.log_weight).logsumexp(0)).exp() / len(self.log_ratio)

    @property
    def pareto_k(self) -> Tensor:
        r"""Shape of the weights' tail: up to 0.5 their variance is finite, from 0.7 on estimates and their errors mislead.

        A generalized Pareto distribution is fitted to the largest ``min(n / 5, 3 sqrt(n))`` weights.

        References: Pareto Smoothed Importance Sampling, Vehtari, Simpson, Gelman, Yao, Gabry, 2015, arXiv:1507.02646; the fit: A New and
        Efficient Estimation Method for the Generalized Pareto Distribution, Zhang, Stephens, 2009, doi:10.1198/tech.2009.08017.
        """
        n = len(self.log_ratio)
        count = max(1, min(n // 5, math.ceil(3 * math.sqrt(n))))
        top = self.log_ratio.topk(min(n, count + 1), 0).values
        excess = (top[:-1] - top[:1]).exp() - (top[-1:] - top[:1]).exp()  # over the threshold, largest first
        return _tail_shape(excess)


def _tail_shape(excess: Tensor) -> Tensor:
    """Zhang and Stephens' estimate from the excesses ``(m, *batch)``, largest first, drawn towards 0.5 with the weight of 10 of them."""
    m = len(excess)
    points = 30 + math.isqrt(m)
    grid = 1 - (points / (torch.arange(points, dtype=excess.dtype, device=excess.device) + 0.5)).sqrt()
    quartile = excess[m - 1 - (m - 1) // 4]
    theta = 1 / excess[0] + grid.reshape(-1, *(1 for _ in quartile.shape)) / (3 * quartile)  # (points, *batch)
    k = torch.log1p(-theta.unsqueeze(1) * excess).mean(1)  # as if theta were known
    likelihood = m * ((-theta / k).log() - k - 1)
    theta = (likelihood.softmax(0) * theta).sum(0)
    k = torch.log1p(-theta * excess).mean(0)
    return ((m * k + 5) / (m + 10)).nan_to_num(0.0)  # all weights equal: no tail


@torch.no_grad()
def importance(flow: Distribution, log_prob: Callable[..., Tensor], n: int = 16_384, context: Tensor | None = None) -> Importance:
    r"""Self-normalized importance sampling: ``n`` draws of the flow, weighted towards the density ``p~ / Z``.

    ``E_p f = sum_i w_i f(x_i) / sum_i w_i`` with ``w = p~ / q``; ``Z = mean w``. Consistent whatever the flow, if it is positive
    wherever p~ is; good if its tails are no lighter.

    Cost: n draws with their densities and n calls of ``log_prob``, in chunks.

    Reference: Normalizing Flows for Probabilistic Modeling and Inference, Papamakarios, Nalisnick, Rezende, Mohamed,
    Lakshminarayanan, 2019, arXiv:1912.02762, section 6.2.

    Arguments:
        flow: a distribution of kind "exact".
        log_prob: ``log p~``, from x ``(N, *shape)`` (and contexts ``(N, *context_shape)`` of a conditional flow) to ``(N,)``.
        n: draws, for each context.
        context: of a conditional flow, ``(*batch, *context_shape)``.

    Raises:
        ValueError: a flow of another kind, fewer than two draws, or a ``log_prob`` that returns another shape or NaN or +inf.

    Example::

        >>> found = importance(Flow(Normal((2,))), lambda x: -x.square().sum(1), 1000)
        >>> found.x.shape, found.log_weight.shape, found.log_z.shape
        (torch.Size([1000, 2]), torch.Size([1000]), torch.Size([]))
    """
    if flow.kind != "exact":
        raise ValueError(f'importance: expected a flow of kind "exact", got "{flow.kind}"; weights need the density itself')
    if n < 2:
        raise ValueError(f"importance: expected at least 2 draws, got {n}")
    batch = Size() if flow.context_shape is None or context is None else context.shape[: context.dim() - len(flow.context_shape)]
    step = max(1, DRAWS_AT_ONCE // max(1, math.prod(batch)))
    xs, ratios = [], []
    for start in range(0, n, step):
        x, log_q, given = draws(flow, min(step, n - start), context)
        xs.append(x)
        ratios.append(checked_log_prob(log_prob, x, given).double() - log_q.double())
    ratio = torch.cat(ratios)
    bad = int((ratio.isnan() | (ratio == math.inf)).sum())
    if bad:
        raise ValueError(f"importance: log_prob is NaN or +inf at {bad:,} of {ratio.numel():,} draws; where a density is zero give -inf")
    return Importance(torch.cat(xs).reshape(n, *batch, *flow.shape), ratio.reshape(n, *batch))
