"""Continuous flows: exact traces, estimates, both directions, rows by themselves, costs along the way, and flow matching."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor

from pushforward.core import Chain, Flow, Inverse, refined
from pushforward.data import Rows
from pushforward.distributions import Normal
from pushforward.evaluation import evaluate, log_likelihood
from pushforward.models import ffjord, residual_flow
from pushforward.nets import TimeMLP, VelocityNet
from pushforward.objectives import FlowMatching, MaximumLikelihood, choose_objective
from pushforward.objectives.flow_matching import assigned
from pushforward.training.batches import RowValidation
from pushforward.training.processes import Processes
from pushforward.transforms import ActNorm, Continuous, Elementwise, Factor, Permute
from pushforward.univariate import Affine

D = 4


def net(size: float = 0.4, **options) -> TimeMLP:
    torch.manual_seed(0)
    made = TimeMLP(D, width=16, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(size * torch.randn_like(parameter))
    return made


def rows(n: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slogdet(function, x: Tensor) -> Tensor:
    jacobians = [torch.autograd.functional.jacobian(lambda row: function(row[None])[0], row) for row in x]
    return torch.linalg.slogdet(torch.stack(jacobians))[1]


def test_the_exact_trace_is_the_log_determinant():
    """To 1e-8, with steps so fine that the solver's own error is below 1e-9; and there and back cancels."""
    layer, x = Continuous(net(), (D,), steps=48, trace="exact"), rows()
    z, ldj = layer(x)
    torch.testing.assert_close(ldj, slogdet(lambda row: layer(row)[0], x), atol=1e-8, rtol=1e-8)
    back, other = layer.inverse(z)
    torch.testing.assert_close(back, x, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(other, -ldj, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(layer.encode(x), z, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(layer.decode(z), back, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_probes_are_unbiased(noise):
    """Their mean is within 4 standard errors of the exact one, their variance falls with their number, and signs have less of it."""
    made, x = net(), rows(3)
    exact = Continuous(made, (D,), steps=4, trace="exact")(x)[1]
    spread = []
    with torch.no_grad():
        for probes in (1, 4):
            layer = Continuous(made, (D,), steps=4, probes=probes, noise=noise)
            draws = layer(x.repeat(1500, 1))[1].view(1500, 3)
            assert ((draws.mean(0) - exact).abs() < 4 * draws.std(0) / math.sqrt(1500)).all()
            spread.append(draws.var(0).mean())
    assert 3 < spread[0] / spread[1] < 5.3


def test_a_flow_is_an_estimate_in_training_and_exact_in_evaluation():
    layer = Continuous(net(), (D,), steps=4)
    flow = Flow(Normal((D,)).double(), layer)
    assert flow.kind == "estimate" and flow.eval().kind == "exact" and flow.train().kind == "estimate"
    layer.exact_up_to = D - 1
    assert flow.eval().kind == "estimate"
    assert layer.evaluations(rows()).tolist() == [32] * 5


def test_the_ways_have_costs():
    """Of a constant velocity ``|f|^2``, of a linear one the squared norm of its matrix; and ends may differ."""

    class Linear(VelocityNet):
        def __init__(self, matrix: Tensor, shift: Tensor):
            super().__init__()
            self.matrix, self.shift = matrix, shift

        def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
            return z @ self.matrix.mT + self.shift

    matrix, shift = 0.3 * torch.randn(D, D, dtype=torch.float64), torch.randn(D, dtype=torch.float64)
    still = Continuous(Linear(0 * matrix, shift), (D,), trace="exact").course(rows())
    torch.testing.assert_close(still.kinetic, shift.square().sum().expand(5))
    moved = Continuous(Linear(matrix, shift), (D,), trace="exact").course(rows(), end=0.5)
    torch.testing.assert_close(moved.jacobian, (0.5 * matrix.square().sum()).expand(5))
    torch.testing.assert_close(moved.ldj, (0.5 * matrix.trace()).expand(5))
    torch.testing.assert_close(moved.z, rows() @ torch.linalg.matrix_exp(0.5 * matrix).mT + _shifted(matrix, shift), atol=1e-7, rtol=1e-7)


def _shifted(matrix: Tensor, shift: Tensor) -> Tensor:
    """``int_0^.5 exp(s A) b ds`` = A^-1 (exp(A / 2) - 1) b."""
    return torch.linalg.solve(matrix, (torch.linalg.matrix_exp(0.5 * matrix) - torch.eye(D, dtype=torch.float64)) @ shift)


# --- flow matching ---


def test_noise_of_the_least_distance_within_contexts():
    """The assignment is the best of all permutations, and none leads to another context."""
    y, e = rows(5), rows(5, 1)
    best = min(
        (sum(float((y[i] - e[j]).square().sum()) for i, j in enumerate(order)) for order in _permutations(5)),
    )
    found = assigned(y, e, None)
    assert sorted(found.tolist()) == list(range(5))
    assert abs(float((y - e[found]).square().sum()) - best) < 1e-9
    context = torch.tensor([[0.0], [1.0], [0.0], [1.0], [2.0]])
    found = assigned(y, e, context)
    assert sorted(found.tolist()) == list(range(5)) and torch.equal(context[found], context)


def _permutations(n: int):
    from itertools import permutations

    return permutations(range(n))


def test_flow_matching_learns_a_shift():
    """In evaluation the loss is the likelihood by the solver, which falls; layers before are left alone."""
    torch.manual_seed(0)
    flow = ffjord((2,), width=32, depth=2)
    x = 0.5 * torch.randn(512, 2) + torch.tensor([2.0, -1.0])
    flow.initialize(x)
    loss = choose_objective(flow, "flow_matching", pairing="optimal")
    before = loss.eval()(x).item()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss.train()(x[torch.randint(512, (64,))]).backward()
        assert all(p.grad is None for p in flow.transform.transforms[0].parameters())
        optimizer.step()
    assert loss.eval()(x).item() < before + 0.05
    torch.testing.assert_close(loss(x), -flow(x).mean())
    with pytest.raises(ValueError, match="flow matching: expected a normal base behind one Continuous layer, got ActNorm"):
        FlowMatching(Flow(Normal((2,)), ActNorm(2)))


def test_recipes_are_exact_in_training_where_that_costs_little():
    assert [[ffjord((dim,)).kind, residual_flow((dim,), steps=1).kind] for dim in (3, 4)] == [["exact", "exact"], ["estimate", "estimate"]]


def test_prices_of_the_way():
    """Added in training alone; a time that differs from batch to batch; and refused without a continuous layer."""
    flow, x = Flow(Normal((D,)).double(), ActNorm(D).double(), Continuous(net(), (D,), trace="exact")), rows()
    loss = choose_objective(flow, kinetic=0.5, jacobian=0.25)
    layer = flow.transform.transforms[1]
    course = layer.course(x)
    expected = -flow(x) + 0.5 * course.kinetic + 0.25 * course.jacobian
    torch.testing.assert_close(loss(x), expected.mean(), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(loss.eval()(x), -flow(x).mean())
    spread = choose_objective(flow, end_spread=0.5)
    ends = torch.stack([spread(x) for _ in range(20)])
    assert ends.std() > 1e-3 and (layer.course(x, end=0.5).z - x).norm() < (course.z - x).norm()
    with pytest.raises(ValueError, match="expected a Continuous layer, got ActNorm; choose ffjord"):
        choose_objective(Flow(Normal((2,)), ActNorm(2)), kinetic=0.1)
    with pytest.raises(ValueError, match="spread in"):
        choose_objective(flow, end_spread=1.0)
    with pytest.raises(ValueError, match=r"train.kinetic is an option of train.objective=likelihood, but the objective is flow_matching"):
        choose_objective(flow, "flow_matching", kinetic=0.1)


def test_prices_reach_layers_however_deep():
    """In a chain, within a part of a layer, by the same gradients whatever is kept; refused where no price would reach."""
    first, second = (Continuous(TimeMLP(n, width=8), (n,), trace="exact") for n in (D, 2))
    with torch.no_grad():
        for parameter in (*first.parameters(), *second.parameters()):
            parameter.normal_()
    x, gradients = rows(), []
    for memory in ("full", "checkpoint", "constant"):
        nested = Factor(2, Elementwise(Affine(), (2,)), Chain(second, Permute((1, 0)), memory=memory))
        flow = Flow(Normal((D,)), first.float(), nested.float(), memory=memory).double()
        torch.manual_seed(0)
        loss = choose_objective(flow, kinetic=0.5, jacobian=0.25, end_spread=0.5)(x)
        gradients.append(torch.autograd.grad(loss, list(flow.parameters())))
        y = first.course(x)
        z = second.course(y.z[:, :2])
        price = 0.5 * (y.kinetic + z.kinetic) + 0.25 * (y.jacobian + z.jacobian)
        torch.testing.assert_close(choose_objective(flow, kinetic=0.5, jacobian=0.25)(x), (price - flow(x)).mean())
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-12, rtol=1e-10)
    with pytest.raises(ValueError, match="a Continuous layer stands within Inverse, where no price reaches it; put it into a Chain"):
        choose_objective(Flow(Normal((2,)), Inverse(second.float())), kinetic=0.1)


@pytest.mark.parametrize("options", [{"steps": 0}, {"probes": -1}, {"exact_up_to": -1}, {"steps": 2.5}])
def test_counts_are_counts(options):
    with pytest.raises((ValueError, TypeError)):
        Continuous(net(), (D,), **options)


@pytest.mark.parametrize("options", [{"solver": "euler"}, {"trace": "none"}, {"noise": "uniform"}])
def test_words_are_checked(options):
    with pytest.raises(ValueError, match=f"Continuous: {next(iter(options))} must be one of"):
        Continuous(net(), (D,), **options)


def test_figures_say_how():
    layer = Continuous(net(), (D,), steps=4, probes=2)
    flow = Flow(Normal((D,)).double(), layer)
    assert flow.how == ("rk4, 4 steps, 21 evaluations of the net, 2 probes",)
    assert flow.eval().how == ("rk4, 8 steps, 41 evaluations of the net",)
    assert flow.passes == 2 * 2  # twice the steps, and (1 + 4 vectors) beside (1 + 2)


def test_scores_tell_what_finer_steps_change():
    """A wave of the velocity that one step misses, and sixteen see; RK4 judges what the midpoint rule has trained."""

    class Wave(VelocityNet):
        def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
            return 0.3 * z * math.cos(4 * math.pi * t)

    some = Rows(rows(64).float())
    for solver, steps, taken, by in (("midpoint", 1, 1, 2), ("rk4", 16, 32, 1)):
        flow = Flow(Normal((D,)), Continuous(Wave(), (D,), solver=solver, steps=steps))
        score = evaluate(flow, some)
        found = float(re.search(r"twice the steps add ([-+.\d]+) nats", score.how)[1])
        figures = []
        for finer in (1, by, 2 * by):
            with refined(flow, finer):
                figures.append(float(log_likelihood(flow, some).mean()))
        assert score.nats == pytest.approx(figures[1]), "by as many steps as change little"
        assert found == pytest.approx(figures[2] - figures[1], abs=6e-5) and abs(found) < 0.05
        assert score.how.startswith(f"rk4, {taken * by} steps") and ("times the steps of the model, which err by" in score.how) == (by > 1)
        if by > 1:
            err = float(re.search(r"which err by ([-+.\d]+) nats: train with more", score.how)[1])
            assert err == pytest.approx(figures[0] - figures[1], abs=6e-5) and abs(err) > 0.05
        assert flow.eval().how[0].startswith(f"rk4, {taken} steps") and flow.train().how[0].startswith(f"{solver}, {steps} steps")
    assert "twice" not in evaluate(Flow(Normal((D,)), ActNorm(D)), some).how


@torch.no_grad()
def test_weights_that_use_a_solvers_error_are_not_the_best():
    """A narrow contraction in time that the steps jump over, and that the log-determinant sees: validation takes twice the steps there."""

    class Spike(VelocityNet):
        def forward(self, z: Tensor, t: float | Tensor, context: Tensor | None = None) -> Tensor:
            return z * torch.as_tensor(40 * (math.cos(4 * math.pi * float(t)) - math.cos(8 * math.pi * float(t)) ** 2))

    some = Rows(rows(64).float())
    for net_of, honest in ((lambda: net().float(), True), (Spike, False)):
        flow = Flow(Normal((D,)), Continuous(net_of(), (D,), solver="rk4", steps=1)).eval()
        objective = MaximumLikelihood(flow)
        found = RowValidation(some, 0, Processes())(objective)["valid"]
        own = float(objective(some.x))
        with refined(objective):
            finer = float(objective(some.x))
        assert (abs(finer - own) < 0.05) == honest
        assert found == pytest.approx(own if honest else finer, rel=1e-4)


def test_velocities_stay_in_full_precision():
    """Under autocast, to the bit: those of three digits would not bring points back."""
    layer, x = Continuous(net().float(), (D,), trace="exact"), rows().float()
    plain = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        cast, back = layer(x), layer.decode(plain[0])
    assert torch.equal(cast[0], plain[0]) and torch.equal(cast[1], plain[1])
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)


def test_contexts_reach_the_velocity():
    flow = ffjord((2,), width=16, depth=2, context=3).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x, c = torch.randn(4, 2), torch.randn(4, 3)
    assert (flow.log_prob(x, c) - flow.log_prob(x, c.roll(1, 0))).abs().min() > 1e-4
    assert flow.sample(3, c).shape == (3, 4, 2)


def test_shapes_are_checked_by_one_step():
    """However many there are: a flow is built on the meta device, where steps of large nets take seconds."""
    calls = []
    made = net().float()
    made.register_forward_hook(lambda *_: calls.append(1))
    layer = Continuous(made, (D,), steps=50, trace="exact", solver="midpoint")
    Flow(Normal((D,)), layer)
    assert len(calls) == 1 and layer.fineness == 1  # and one with products, which are no call
    layer.encode(rows().float())
    assert len(calls) == 101
