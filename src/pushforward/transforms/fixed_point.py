"""The inverse of ``x + g(x)`` for a contraction g: steps to its fixed point, and gradients by the implicit function theorem."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ..core import readable
from .probes import RowMap, identity_plus_jacobian

FixedPointMethod = Literal["banach", "anderson", "newton"]
Visited = deque[tuple[Tensor, Tensor]]  # points and their residuals
Proposal = Callable[[Tensor, Tensor, Visited], Tensor]  # x, its residual, those before -> the next x
LOOKED_BACK = 6  # points that Anderson's step looks back on, at most
STALLS = 4  # of Banach's steps, which don't shrink the residual: a row at rounding
QUICK = 0.25  # a share of the residual; as long as Banach's steps leave no more, nothing is gained by dearer ones
FARTHEST = 1e3  # a distance from which steps must arrive


class FixedPoint(NamedTuple):
    """x, and how often g was evaluated for each row, ``(B,)``."""

    x: Tensor
    evaluations: Tensor


def solve_contraction(
    g: RowMap,
    z: Tensor,
    lipschitz: float,
    *,
    method: FixedPointMethod = "anderson",
    tolerance: float = 1e-6,
    pull_at: Callable[[Tensor], RowMap] | None = None,
) -> FixedPoint:
    r"""x with ``x + g(x) = z``, without gradient, where g brings points closer together by the factor ``lipschitz`` L at least.

    With the residual ``f(x) = z - g(x) - x``, Banach's step ``x + f(x)`` shrinks f by L. "anderson" proposes the combination of the last
    points whose residuals nearly cancel, "newton" ``x + (I + dg/dx)^-1 f(x)``. Once a step of Banach's has left more than a fourth of f, a
    row takes a proposal if it shrinks f by L, else Banach's step: two evaluations are never worse than one of Banach's. It stops where
    ``|f| <= tolerance (1 - L)``, since ``|x - x*| <= |f| / (1 - L)``, or f is the rounding of z, or Banach's steps no longer shrink it.
    Rows go by themselves.

    Cost: an evaluation of g a step; about ``log tolerance / log L`` for "banach", a fourth of that for "anderson" where L is near 1,
    3 to 6 for "newton", each with D products with the Jacobian and a ``(D, D)`` system. Where values can't be looked at (in a graph,
    under vmap) Banach's steps are made, as many as are enough from a distance of 1,000.

    References: Anderson Acceleration for Fixed-Point Iterations, Walker, Ni, 2011, SIAM J. Numer. Anal. 49(4); Banach's for flows:
    Invertible Residual Networks, Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, 2018, arXiv:1811.00995.

    Arguments:
        g: the contraction, ``(B, *shape) -> (B, *shape)``.
        z: ``(B, *shape)``.
        lipschitz: L.
        method: "banach", "anderson" or "newton".
        tolerance: of x, in Euclidean norm, row by row.
        pull_at: for "newton", products ``v -> (dg/dx)^T v`` at an x, of ``(K, B, *shape)``.

    Raises:
        ValueError: L is not below 1.

    Example::

        >>> solve_contraction(lambda x: 0.5 * x.sin(), torch.ones(1, 1), 0.5).x
        tensor([[0.6840]])
    """
    if not lipschitz < 1:
        raise ValueError(f"the inverse of x + g(x): expected a Lipschitz constant of g below 1, got {lipschitz}; lower its coefficient")
    with torch.no_grad():
        lipschitz = max(lipschitz, 1e-3)
        limit = math.ceil(math.log(tolerance * (1 - lipschitz) / FARTHEST) / math.log(lipschitz))
        if z.device.type == "meta" or not readable():
            x = z.detach()
            for _ in range(1 if z.device.type == "meta" else limit):
                x = z.detach() - g(x)
            return FixedPoint(x, torch.full_like(row_norms(z), limit, dtype=torch.long))
        accuracy = (row_norms(z) * torch.finfo(z.dtype).eps / 2).clamp(min=tolerance * (1 - lipschitz))
        patience = STALLS if method != "banach" else math.ceil(STALLS / (1 - lipschitz))  # proposals shrink f by more than rounding

        def propose(x: Tensor, f: Tensor, history: Visited) -> Tensor:
            return anderson_step(x, f, history) if pull_at is None or method != "newton" else newton_step(pull_at(x), x, f)

        return _looked_at(g, z, lipschitz, None if method == "banach" else propose, accuracy, patience, 2 * limit)


def _looked_at(g: RowMap, z: Tensor, lipschitz: float, propose: Proposal | None, accuracy: Tensor, patience: int, limit: int) -> FixedPoint:
    x = z
    f = -g(x)
    history: Visited = deque([(x, f)], maxlen=min(LOOKED_BACK, z.shape[1:].numel() + 1))  # more differences than dimensions: far ones count
    moving = row_norms(f) > accuracy
    slow = bold = torch.zeros_like(moving)  # rows that Banach's steps brought on slowly; rows that try a proposal
    evaluations, stalls = torch.ones_like(moving, dtype=torch.long), torch.zeros_like(moving, dtype=torch.long)
    for _ in range(limit):
        if not moving.any():
            break
        proposal = x + f
        if propose is not None and bold.any():
            proposal = pick_rows(bold, propose(x, f, history), proposal)
        residual = z - g(proposal) - proposal
        evaluations = evaluations + moving
        history.append((proposal, residual))
        before, after = row_norms(f), row_norms(residual)
        shrinks = after < torch.where(bold, lipschitz * before, before)
        takes = moving & (shrinks | ~bold)
        x, f = pick_rows(takes, proposal, x), pick_rows(takes, residual, f)
        stalls = stalls + (takes & ~shrinks)
        moving = moving & (row_norms(f) > accuracy) & (stalls < patience)
        if propose is not None:
            slow = slow | (after > QUICK * before)
            bold = slow & shrinks
    return FixedPoint(x, evaluations)


def anderson_step(x: Tensor, f: Tensor, history: Visited) -> Tensor:
    """The step from the combination of the points in history whose residual is the least, by differences to the present one."""
    moves = torch.stack([(point - x).flatten(1) for point, _ in history], 1)
    falls = torch.stack([(residual - f).flatten(1) for _, residual in history], 1)
    size = falls.norm(dim=2, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    moves, falls = moves / size, falls / size
    gram = falls @ falls.mT + torch.finfo(x.dtype).eps * torch.eye(len(history), dtype=x.dtype, device=x.device)
    share = torch.linalg.solve_ex(gram, falls @ f.flatten(1).unsqueeze(2)).result
    return x + f - ((moves + falls) * share).sum(1).view_as(x)


def newton_step(pull: RowMap, x: Tensor, f: Tensor) -> Tensor:
    """Newton's step by dense linear algebra."""
    return x + torch.linalg.solve_ex(identity_plus_jacobian(pull, x), f.flatten(1)).result.view_as(x)


def implicitly(g: RowMap, x: Tensor, z: Tensor, pull: RowMap, lipschitz: float, *, dense: bool, tolerance: float = 1e-6) -> Tensor:
    """The solution x as it is, with the derivatives that ``x + g(x) = z`` gives it by z and by whatever g holds.

    ``dense``: by the inverse of ``I + dg/dx``, D products with the Jacobian; right to the second derivatives. Else the system is
    solved in backward, by products ``pull`` with the transposed Jacobian alone, and there is no second derivative.
    """
    x = x.detach()
    if dense:
        with torch.no_grad():
            inverse = torch.linalg.inv(identity_plus_jacobian(pull, x)).detach()

    def solved(miss: Tensor) -> Tensor:
        if dense:
            return (inverse @ miss.flatten(1).unsqueeze(2)).view_as(miss)
        return _Solved.apply(miss, pull, lipschitz, tolerance)  # type: ignore[no-untyped-call, no-any-return]

    for _ in range(2 if dense else 1):  # each leaves the value and makes one more derivative right
        miss = x + g(x) - z
        x = x - solved(miss - miss.detach())
    return x


class _Solved(torch.autograd.Function):
    """``(I + dg/dx)^-1 0``, with its gradient: the same fixed point for the transposed Jacobian, to a tolerance relative to each row."""

    @staticmethod
    def forward(ctx: FunctionCtx, miss: Tensor, pull: RowMap, lipschitz: float, tolerance: float) -> Tensor:
        ctx.options = pull, lipschitz, tolerance  # type: ignore[attr-defined]
        return miss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, v: Tensor) -> tuple[Tensor, None, None, None]:
        pull, lipschitz, tolerance = ctx.options  # type: ignore[attr-defined]
        size = beside_rows(row_norms(v).clamp(min=torch.finfo(v.dtype).tiny), v)
        solution = solve_contraction(lambda w: pull(w.unsqueeze(0)).squeeze(0), v / size, lipschitz, tolerance=tolerance)
        return size * solution.x, None, None, None


def row_norms(x: Tensor) -> Tensor:
    """Of each row, ``(B,)``."""
    return x.flatten(1).norm(dim=1)


def beside_rows(rows: Tensor, x: Tensor) -> Tensor:
    """A number of each row beside the rows of x."""
    return rows.view(-1, *(1 for _ in x.shape[1:]))


def pick_rows(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of the one, or of the other."""
    return torch.where(beside_rows(rows, yes), yes, no)
