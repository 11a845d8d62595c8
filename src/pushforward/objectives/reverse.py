"""Reverse KL: the divergence of a flow from a density that is known up to its normalizer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core import Distribution, substituted


class ReverseKL(nn.Module):
    r"""``E_{x~q}[log q(x) - beta log p~(x) - (1 - beta) log r(x)]`` over fresh draws of the flow q, in nats.

    ``p~ = Z p`` is an unnormalized density. For ``beta = 1`` this is ``KL(q || p) - log Z``, and minus it is on average a lower bound
    of ``log Z``. ``beta < 1``, a temperature ``1 / beta``, flattens p~, so that a flow finds modes it would not reach from where it
    starts; with a broad reference r the target ``p~^beta r^(1 - beta)`` has a finite integral even where p~ has heavy tails.

    With ``path`` the gradient goes through the draws only: the parameters of log q are held fixed in ``log q(x)``. What is dropped, the
    score ``E_q[d log q / d parameters]``, has mean zero but not variance zero, so that the gradient is still unbiased, and it vanishes
    draw by draw where q = p. The value is the same.

    Cost: one inverse pass of the flow and one call of ``log_prob`` with its gradient; ``path`` adds a forward pass with its
    gradient (D steps for an IAF).

    Caveats: a mode that no draw ever visits costs nothing and stays uncovered. A single draw where p~ is zero makes the value infinite:
    the flow must map onto the support of p~.

    References: Variational Inference with Normalizing Flows, Rezende, Mohamed, 2015, arXiv:1505.05770; Sticking the Landing, Roeder,
    Wu, Duvenaud, 2017, arXiv:1703.09194 (path); Normalizing Flows for Probabilistic Modeling and Inference, Papamakarios et al.,
    2019, arXiv:1912.02762, section 2.3.2.

    Arguments:
        flow: the model; it must not be of kind "bound".
        log_prob: ``log p~``, from x ``(N, *shape)`` (and the contexts ``(N, *context_shape)`` of a conditional flow) to ``(N,)``,
            differentiable in x. Its own parameters, if it is a module, are not among those of this objective.
        rows: draws for one value (for each context).
        path: the gradient through the draws only.
        reference: ``log r``, of the same arguments as ``log_prob``; without one, r = 1.

    Raises:
        ValueError: a flow of kind "bound", no rows, or a ``log_prob`` that returns another shape.

    Example::

        >>> flow = Flow(Normal((2,)), Elementwise(Affine(), (2,)))
        >>> ReverseKL(flow, lambda x: -x.square().sum(1))().shape
        torch.Size([])
    """

    def __init__(
        self,
        flow: Distribution,
        log_prob: Callable[..., Tensor],
        rows: int = 512,
        path: bool = False,
        reference: Callable[..., Tensor] | None = None,
    ):
        super().__init__()
        if flow.kind == "bound":
            raise ValueError('ReverseKL: expected a flow of kind "exact" or "estimate", got "bound"; take out the layers that add noise')
        if rows < 1:
            raise ValueError(f"ReverseKL: expected rows >= 1, got {rows}")
        self.flow = flow
        self.rows = rows
        self.path = path
        self._densities = _Shared(log_prob, reference)

    def forward(self, context: Tensor | None = None, beta: float = 1.0) -> Tensor:
        """The mean over the draws and over ``context`` ``(K, *context_shape)``."""
        x, log_q, given = draws(self.flow, self.rows, context)
        if self.path:
            log_q = substituted(self.flow, torch.Tensor.detach, x, given)
        log_prob, reference = self._densities.log_prob, self._densities.reference
        target = beta * checked_log_prob(log_prob, x, given)
        if reference is not None and beta < 1:
            target = target + (1 - beta) * checked_log_prob(reference, x, given)
        return (log_q - target).mean()


class _Shared:
    """Functions that are no part of a module: a module among them is not trained, and a copy has the same ones (some can't be copied)."""

    def __init__(self, log_prob: Callable[..., Tensor], reference: Callable[..., Tensor] | None):
        self.log_prob, self.reference = log_prob, reference

    def __deepcopy__(self, memo: dict[int, object]) -> _Shared:
        return self


def draws(flow: Distribution, n: int, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """``n`` draws for each context as rows: x ``(N, *shape)``, their log density ``(N,)`` and contexts ``(N, *context_shape)``."""
    x, log_q = flow.sample_and_log_prob((n,), context)
    given = None
    if flow.context_shape is not None and context is not None:
        given = context.expand(n, *context.shape).reshape(-1, *flow.context_shape)
    return x.reshape(-1, *flow.shape), log_q.flatten(), given


def checked_log_prob(log_prob: Callable[..., Tensor], x: Tensor, context: Tensor | None = None) -> Tensor:
    """``log p~`` of rows, ``(N, *shape) -> (N,)``; ValueError if it comes in another shape."""
    value = log_prob(x) if context is None else log_prob(x, context)
    if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"log_prob: expected one number per row, {(x.shape[0],)} for x {tuple(x.shape)}, got {got}; sum over the event")
    return value
