"""Gradients of an ordinary differential equation by another one, backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .integrate import Field, Solver, Times, integrate


def integrate_by_adjoint(
    field: Field, z: Tensor, integrals: tuple[Tensor, ...], inputs: Sequence[Tensor], *, times: Times, solver: Solver
) -> tuple[Tensor, ...]:
    r""":func:`integrate`, of which nothing is kept for the gradient but z at the end, whatever the number of steps.

    With a the gradient of a loss by z(t), and b those by the integrals of g, ``da/dt = -(a^T df/dz + b^T dg/dz)`` is solved from the end
    back, together with z, by steps of the same solver; gradients by ``inputs`` are integrals along it. They are those of the equation,
    not of the steps: equal up to the solver's error. There is no second derivative.

    Cost of a gradient: an evaluation of the field with its derivative for each of the way out.

    Reference: Neural Ordinary Differential Equations, Chen, Rubanova, Bettencourt, Duvenaud, 2018, arXiv:1806.07366, appendix B.

    Arguments:
        field, z, integrals, solver: as there.
        inputs: all that the field depends on, beside t and z.
        times: numbers, the same for all rows.
    """
    return Adjoint.apply(field, times, solver, len(integrals), z, *integrals, *inputs)  # type: ignore[no-any-return]


class Adjoint(torch.autograd.Function):
    """The way out without gradient; the adjoint's way back."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, field: Field, times: Times, solver: Solver, count: int, z: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.field, ctx.times, ctx.solver = field, times, solver
        end, *found = integrate(field, z, others[:count], times=times, solver=solver)
        ctx.save_for_backward(end, *others[count:])
        return end, *found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        end, *inputs = ctx.saved_tensors
        learned = [tensor for tensor, needed in zip(inputs, ctx.needs_input_grad[5 + len(grads) :], strict=True) if needed]

        def back(t: float | Tensor, state: Tensor, full: bool) -> tuple[Tensor, ...]:
            z, a = state.chunk(2, 1)
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                found = ctx.field(t, z, True)
                pairs = [(out, weight) for out, weight in zip(found, (a, *grads), strict=True) if out.requires_grad]
                outs, weights = zip(*pairs, strict=True)
                by_z, *others = torch.autograd.grad(
                    outs, [z, *(learned if full else ())], weights, allow_unused=True, materialize_grads=True
                )
            return torch.cat([found[0].detach(), -by_z], 1), *(-part for part in others)

        start = torch.cat([end, grad], 1)
        state, *by_learned = integrate(back, start, tuple(map(torch.zeros_like, learned)), times=ctx.times[::-1], solver=ctx.solver)
        of = dict(zip(map(id, learned), by_learned, strict=True))
        return None, None, None, None, state.chunk(2, 1)[1], *grads, *(of.get(id(tensor)) for tensor in inputs)
