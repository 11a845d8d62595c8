"""Residual steps: exact and estimated log-determinants, their gradients, and inverses to a tolerance that holds."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from pushforward.core import Flow, copies
from pushforward.distributions import Normal
from pushforward.nets import LipschitzConv, LipschitzMLP, LipschitzNet
from pushforward.nets.lipschitz import SmoothUnits
from pushforward.transforms import Residual
from pushforward.transforms.series import survival, truncation

D = 4


class Turned(LipschitzNet):
    """``c U sin(V x + W context)`` with orthogonal U and V: its constant is c and is attained, where sines are steepest."""

    def __init__(self, coefficient: float, dim: int = D, context: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        maps = [torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q for _ in range(2)]
        self.outer, self.inner = (torch.nn.Parameter(q) for q in maps)
        self.given = torch.nn.Linear(context, dim, bias=False).double() if context else None
        self.coefficient = coefficient

    @property
    def lipschitz(self) -> float:
        return self.coefficient

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = x @ self.inner.mT
        return self.coefficient * torch.sin(h if self.given is None else h + self.given(context)) @ self.outer.mT


def rows(n: int = 5, dtype: torch.dtype = torch.float64, dim: int = D) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)


def jacobians(layer: Residual, x: Tensor) -> Tensor:
    """``I + dg/dx``, by autograd alone, with its graph."""
    x = x.detach().requires_grad_()
    z = x + layer.net(x)
    return torch.stack([torch.autograd.grad(z[:, i].sum(), x, create_graph=True)[0] for i in range(x.shape[1])], 1)


def test_the_nets_are_near_their_constant():
    """Else nothing below says much."""
    norms = torch.linalg.matrix_norm(jacobians(Residual(Turned(0.9), (D,)), rows(200)) - torch.eye(D, dtype=torch.float64), 2)
    assert 0.85 < norms.max() <= 0.9


@pytest.mark.parametrize("shape", [(D,), (2, 3, 4)], ids=["vectors", "images"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("units", get_args(SmoothUnits))
def test_products_of_the_nets(units, dense, shape):
    """Written out, they are those of autograd."""
    torch.manual_seed(0)
    net: LipschitzNet = LipschitzMLP(D, width=8, depth=2, units=units, dense=dense, context=2).double()
    if len(shape) > 1:
        net = LipschitzConv(shape, width=5, units=units, dense=dense, context=2).double()
    x, v = torch.randn(5, *shape).double(), torch.randn(3, 5, *shape).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    context = rows(dim=2)
    (f, own), (other, products) = net.pullback(x, context), LipschitzNet.pullback(net, x, context)
    torch.testing.assert_close(f, other, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(own(v), products(v), atol=1e-12, rtol=1e-12)


def test_exact_in_evaluation_and_an_estimate_in_training():
    layer = Residual(Turned(0.9), (D,))
    flow = Flow(Normal((D,)).double(), layer)
    assert flow.kind == "estimate" and flow.eval().kind == "exact" and flow.train().kind == "estimate"
    assert "2 terms" in flow.how[0] and "geometric" in flow.how[0] and "1 probe" in flow.how[0] and not flow.eval().how
    torch.testing.assert_close(layer(rows())[1], torch.linalg.slogdet(jacobians(layer, rows()))[1], atol=1e-10, rtol=0)
    layer.exact_up_to = D - 1
    assert flow.eval().kind == "estimate" and "20 terms" in flow.how[0]


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
@pytest.mark.parametrize("tail", [("geometric", 4.0), ("poisson", 3.0)], ids=lambda tail: tail[0])
def test_roulette_is_unbiased(tail, noise):
    """Value and gradient have means within 4 standard errors of the exact ones, and the variance falls with the number of probes."""
    torch.manual_seed(0)
    log_det, mean = tail
    layer = Residual(Turned(0.7), (D,), log_det=log_det, tail=mean, noise=noise, evaluation_terms=2, exact_up_to=0).eval()
    x, draws = rows(3), 4000  # in evaluation each copy of a row has a number of terms of its own
    exact = torch.linalg.slogdet(jacobians(layer, x))[1]
    slopes = [torch.autograd.grad(value, layer.net.inner, retain_graph=True)[0] for value in exact]
    with torch.no_grad():
        spread = []
        for layer.probes in (4, 1):
            found = layer(copies(x, draws))[1].view(draws, 3)
            assert ((found.mean(0) - exact).abs() < 4 * found.std(0) / math.sqrt(draws)).all()
            spread.append(found.var(0).mean())
        assert spread[0] < spread[1]

    def means(weight: Tensor) -> Tensor:
        """50 of 20 draws, of each row."""
        drawn = torch.func.functional_call(layer, {"net.inner": weight}, (copies(x, 1000),))[1]
        return drawn.view(50, 20, 3).mean(1)

    found = torch.func.jacrev(means)(layer.net.inner)
    assert ((found.mean(0) - torch.stack(slopes)).abs() < 4 * found.std(0) / math.sqrt(50)).all()


def test_a_batch_shares_its_number_of_terms_in_training():
    """Its mean is right, too: over passes, not rows."""
    torch.manual_seed(0)
    layer, x = Residual(Turned(0.5), (D,), tail=1.0), rows(2)
    exact = torch.linalg.slogdet(jacobians(layer, x))[1]
    with torch.no_grad():
        draws = torch.stack([layer(copies(x, 50))[1].view(50, 2).mean(0) for _ in range(200)])
    assert ((draws.mean(0) - exact).abs() < 4 * draws.std(0) / math.sqrt(200)).all()


@pytest.mark.parametrize("tail", ["geometric", "poisson"])
def test_the_chance_of_more_terms(tail):
    """They sum to the mean, ``sum_j P(N >= j)``."""
    assert math.isclose(math.fsum(survival(tail, 2.0, j) for j in range(1, 200)), 2.0, rel_tol=1e-9)
    assert survival(tail, 2.0, 0) == pytest.approx(1.0)


def test_checkpoints_leave_gradients_alone():
    """Of a net without products of its own, too."""
    gradients = []
    for memory in ("full", "checkpoint"):
        flow = Flow(Normal((D,)).double(), *[Residual(Turned(0.7), (D,), probes=2) for _ in range(2)], memory=memory)
        torch.manual_seed(0)
        flow.log_prob(rows()).sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in flow.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-12, rtol=1e-12)
    with torch.inference_mode():
        assert flow.eval().log_prob(rows()).isfinite().all()


def test_what_a_series_cut_off_may_miss():
    """The stated bound holds, and is the mean's error: it is not an estimate without bias."""
    layer = Residual(Turned(0.9), (D,), log_det="truncated", terms=3).train()
    x = rows(200)
    jacobian = jacobians(layer, x) - torch.eye(D, dtype=torch.float64)
    powers = [torch.linalg.matrix_power(jacobian, k).diagonal(dim1=1, dim2=2).sum(1) / k * (-1) ** (k + 1) for k in (1, 2, 3)]
    missed = (sum(powers) - torch.linalg.slogdet(jacobians(layer, x))[1]).abs().max()
    bound = truncation(D, 0.9, 3)
    assert 0.01 < missed < bound
    assert bound == pytest.approx(D * math.fsum(0.9**k / k for k in range(4, 1000)))
    assert f"off by at most {bound:.3g} nats" in layer.how[0]


methods = pytest.mark.parametrize("method", ["banach", "anderson", "newton"])


@methods
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_round_trip(method, dtype, error):
    """In x to the tolerance with a coefficient of .9, in z too."""
    layer, x = Residual(Turned(0.9).to(dtype), (D,), method=method), 3 * rows(200, dtype)
    with torch.no_grad():
        z = layer.encode(x)
        back = layer.decode(z)
        assert (back - x).norm(dim=1).max() < error and (layer.encode(back) - z).abs().max() < error


@methods
def test_round_trip_near_one(method):
    """With .98 to 1e-4 in float32; and no method takes more than twice the evaluations of Banach's bound."""
    layer, x = Residual(Turned(0.98).float(), (D,), method=method), 3 * rows(200, torch.float32)
    with torch.no_grad():
        z = layer.encode(x)
        assert (layer.decode(z) - x).norm(dim=1).max() < 1e-4
        assert layer.evaluations(z).max() <= 2 * math.log(1e-6 * 0.02 / 1e3) / math.log(0.98)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_few_dimensions_take_few_evaluations(dim):
    """Anderson's step looks back on no more points than there are dimensions: with six the worst rows took 225."""
    layer, x = Residual(Turned(0.98, dim), (dim,)), 3 * rows(200, dim=dim)
    with torch.no_grad():
        assert layer.evaluations(layer.encode(x)).max() < 60


def test_far_below_the_constant_steps_are_banachs():
    """As long as each leaves less than a fourth of the residual."""
    layer = Residual(Turned(0.2), (D,))
    with torch.no_grad():
        z = layer.encode(rows())
        found, layer.method = layer.decode(z), "banach"
        assert torch.equal(found, layer.decode(z))


def test_gradients_of_the_inverse():
    """By finite differences: for z, the context and a parameter; and the second ones, where they are promised."""
    layer = Residual(Turned(0.7, context=2), (D,), log_det="exact", tolerance=1e-12)
    z, context = rows(2).requires_grad_(), rows(2, dim=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda z, c: layer.inverse(z, c), (z, context), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z, c: layer.decode(z, c), (z, context), fast_mode=True)
    expected = torch.autograd.grad(layer.decode(z, context).square().sum(), (z, context, *layer.parameters()))
    layer.log_det = "geometric"  # by the system solved in backward
    found = torch.autograd.grad(layer.decode(z, context).square().sum(), (z, context, *layer.parameters()), create_graph=True)
    for own, dense in zip(found, expected, strict=True):
        torch.testing.assert_close(own.detach(), dense, atol=1e-9, rtol=1e-9)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        found[0].sum().backward()


@methods
def test_rows_are_solved_by_themselves(method):
    """Whatever stands beside a row, it takes the same evaluations to the same x, to the bit."""
    layer, z = Residual(Turned(0.9), (D,), method=method), rows(6)
    other = torch.cat([z[:3], 100 * rows(3)])
    with torch.no_grad():
        assert torch.equal(layer.decode(z)[:3], layer.decode(other)[:3])
    assert torch.equal(layer.evaluations(z)[:3], layer.evaluations(other)[:3])


def test_no_contraction_no_inverse():
    with pytest.raises(ValueError, match=r"below 1, got 1\.0"):
        Residual(Turned(1.0), (D,)).inverse(rows())


@pytest.mark.parametrize(
    "options", [{"log_det": "series"}, {"noise": "uniform"}, {"method": "secant"}, {"tail": 0.0}, {"terms": 0}, {"probes": 2.5}]
)
def test_options(options):
    with pytest.raises(ValueError, match="Residual"):
        Residual(Turned(0.9), (D,), **options)
