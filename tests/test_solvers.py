"""Solvers: their order, steps that each row chooses, and gradients through the steps and by the adjoint."""

from __future__ import annotations

import math

import pytest
import torch
from test_continuous import D, net, rows
from torch import Tensor

from pushforward.core import Flow
from pushforward.distributions import Normal
from pushforward.transforms import Continuous
from pushforward.transforms.adaptive import adapted
from pushforward.transforms.integrate import TABLEAUS, even, integrate

ORDERS = {"midpoint": 2, "heun": 2, "rk4": 4, "dopri5": 5}


@pytest.mark.parametrize("solver", TABLEAUS)
def test_solvers_have_their_order(solver):
    """Twice the steps, 2^order times less error, in z and in an integral along the way."""

    def field(t: float, z: Tensor, full: bool) -> tuple[Tensor, ...]:
        return (z * (1 + t), z[:, 0].square())[: 1 + full]

    z = torch.ones(1, 1, dtype=torch.float64)
    t = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    exact = math.exp(1.5), torch.trapezoid((2 * t + t.square()).exp(), t)
    errors = []
    for steps in (4, 8) if solver == "dopri5" else (16, 32):
        found = integrate(field, z, (torch.zeros(1, dtype=torch.float64),), times=even(0.0, 1.0, steps), solver=solver)
        errors.append([float((got.flatten()[0] - right).abs()) for got, right in zip(found, exact, strict=True)])
    for coarse, fine in zip(*errors, strict=True):
        assert 0.8 * 2 ** ORDERS[solver] < coarse / fine < 1.25 * 2 ** ORDERS[solver]


# --- steps that each row chooses ---


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_rows_choose_their_steps(direction):
    """To the bit as without the other rows, however steep these are; harder rows take more."""
    layer, x = Continuous(net(1.5), (D,), solver="dopri5", trace="exact"), rows(6)
    x[3:] *= 30
    way = getattr(layer, direction)
    with torch.no_grad():
        (z, ldj), (few, alone) = way(x), way(torch.cat([x[:3], rows(3, 7)]))
    torch.testing.assert_close(few[:3], z[:3], atol=1e-12, rtol=0)
    torch.testing.assert_close(alone[:3], ldj[:3], atol=1e-12, rtol=0)
    counts = layer.evaluations(x)
    assert counts.shape == (6,) and len(counts.unique()) > 1 and ((counts - 1) % 6 == 0).all()


def test_tolerance_bounds_the_error():
    """Of each step, for z; the log-determinant errs about as much. There and back; encode takes the same steps."""
    layer, x = Continuous(net(), (D,), solver="dopri5", trace="exact"), rows()
    fine = Continuous(layer.net, (D,), steps=200, trace="exact")
    errors = []
    with torch.no_grad():
        z, ldj = fine(x)
        for tolerance in (1e-4, 1e-6, 1e-8):
            layer.tolerance = tolerance
            found, found_ldj = layer(x)
            errors.append(((found - z).abs().max(), (found_ldj - ldj).abs().max()))
            assert max(errors[-1]) < 50 * tolerance  # errors of the steps add up
            assert torch.equal(layer.encode(x), found)
            torch.testing.assert_close(layer.decode(found), x, atol=50 * tolerance, rtol=0)
    assert errors[0][0] > 100 * errors[2][0] and errors[0][1] > 100 * errors[2][1]


def test_gradients_of_chosen_steps():
    """Those of fine steps; of log-likelihoods, with contexts, and of no rows."""
    layer, x = Continuous(net(), (D,), solver="dopri5", tolerance=1e-9, trace="exact"), rows()
    fine = Continuous(layer.net, (D,), steps=100, trace="exact")
    parameters = list(layer.net.parameters())
    found, expected = (torch.autograd.grad(_loss(*way(x)), parameters) for way in (layer, fine))
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)
    assert layer(x[:0])[1].shape == (0,)


def test_rows_that_no_step_suits():
    """One that runs off to infinity, and one that is no number, end as NaN, and leave the others alone."""

    def blowing_up(t: Tensor, z: Tensor) -> Tensor:
        return z.square()

    z = torch.tensor([[0.5], [2.0], [torch.nan]], dtype=torch.float64)  # 1 / (1/z - t): the second is infinite at t = .5
    times = adapted(blowing_up, z, start=0.0, end=1.0, tolerance=1e-6)
    end = integrate(lambda t, z, full: (z.square(),), z, (), times=times, solver="dopri5")[0]
    assert abs(end[0].item() - 1.0) < 1e-4 and end[1:].isnan().all() and len(times) < 2000


def test_figures_say_the_tolerance():
    flow = Flow(Normal((D,)), Continuous(net().float(), (D,), solver="dopri5", tolerance=1e-6))
    assert flow.eval().how == ("dopri5, tolerance 1e-06 for each row",)
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        Continuous(net(), (D,), tolerance=0.0)


def test_steps_agree_with_torchdiffeq():
    """One row at a time, for which its norm over all rows is that of the row."""
    torchdiffeq = pytest.importorskip("torchdiffeq")
    made, x = net(), rows(3)
    layer = Continuous(made, (D,), solver="dopri5", tolerance=1e-7)
    with torch.no_grad():
        z = layer.encode(x)
        for row, end in zip(x, z, strict=True):
            found = torchdiffeq.odeint(lambda t, y: made(y, t), row[None], torch.tensor([0.0, 1.0]).double(), rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(found[-1, 0], end, atol=1e-6, rtol=0)


# --- gradients by the adjoint ---


def _loss(z: Tensor, *others: Tensor) -> Tensor:
    return z.square().sum() + sum((other * (1 + i)).sum() for i, other in enumerate(others))


@pytest.mark.parametrize("solver", ["midpoint", "rk4"])
def test_the_adjoint_agrees_with_the_steps(solver):
    """Up to the solver's error, which falls with its order; by x, context and parameters, of prices too."""
    made = net(context=2)
    x, c = rows().requires_grad_(), torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    given = [x, c, *made.parameters()]

    def gradients(way: str, steps: int) -> Tensor:
        layer = Continuous(made, (D,), steps=steps, solver=solver, trace="exact", gradients=way)
        found = torch.autograd.grad(_loss(*layer.course(x, 2 * c)), given)
        return torch.cat([gradient.flatten() for gradient in found])

    errors = [(gradients("adjoint", steps) - gradients("steps", steps)).norm() for steps in (8, 16)]
    order = ORDERS[solver]
    assert errors[1] < 1e-3 * gradients("steps", 16).norm() and errors[0] / errors[1] > 0.7 * 2**order
    fine = Continuous(made, (D,), steps=4, gradients="adjoint").eval()
    for own, other in zip(fine(x, c), Continuous(made, (D,), steps=4).eval()(x, c), strict=True):
        assert torch.equal(own, other)


def test_the_adjoint_keeps_nothing_on_the_way():
    """Bytes kept for the gradient, whatever the number of steps; those of the steps grow with it."""
    made, x = net(), rows(64)

    def kept(gradients: str, steps: int) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = Continuous(made, (D,), steps=steps, gradients=gradients)(x)
        del out
        return sum(sizes.values())

    assert kept("adjoint", 4) == kept("adjoint", 32)
    assert kept("steps", 32) > 6 * kept("steps", 4) > 6 * kept("adjoint", 4)


def test_what_the_adjoint_does_not_do():
    with pytest.raises(ValueError, match="the adjoint takes steps of fixed length; use solver rk4"):
        Continuous(net(), (D,), solver="dopri5", gradients="adjoint")
    frozen, x = net(), rows()
    for parameter in frozen.layers[0].parameters():
        parameter.requires_grad_(False)
    _loss(*Continuous(frozen, (D,), gradients="adjoint")(x)).backward()
    assert frozen.layers[0].weight.grad is None and frozen.layers[1].weight.grad.abs().sum() > 0
