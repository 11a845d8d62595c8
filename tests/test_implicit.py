"""Implicit layers: a residual step behind the inverse of another, its gradients, and what it can be that residual steps can't."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pushforward.core import Chain, Flow, Inverse, copies
from pushforward.distributions import Normal
from pushforward.models import implicit_flow
from pushforward.nets import LipschitzNet
from pushforward.transforms import Residual, residual
from pushforward.transforms.probes import unit_vectors

D = 3


def rows(n: int, dim: int = D) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def tiny(log_det: str = "exact") -> Flow:
    """One layer, off its start, in evaluation."""
    torch.manual_seed(0)
    flow = implicit_flow((D,), steps=1, width=8, depth=1, coefficient=0.7, log_det=log_det, tail=2.0, tolerance=1e-12).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(torch.randn_like(parameter))
    flow.refresh()
    return flow.eval()


def branches(flow: Flow) -> tuple[Residual, Residual]:
    _, forth, back, _ = flow.transform.transforms
    return forth, back.transform


def gradient(flow: Flow, value: Tensor, *inputs: Tensor) -> Tensor:
    """Of the sum of squares, for the inputs and all parameters."""
    given = [*inputs, *flow.parameters()]
    found = torch.autograd.grad(value.square().sum(), given, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def unrolled(flow: Flow, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """z, or x of z, with the graph of all steps to the fixed point, and the log-determinant of its Jacobian by autograd."""
    first, g, h, last = flow.transform.transforms
    g, h = g.net, h.transform.net

    def solved(net: LipschitzNet, target: Tensor) -> Tensor:
        point = target
        for _ in range(90):  # .7^90 = 1e-14
            point = target - net(point)
        return point

    def whole(x: Tensor) -> Tensor:
        if inverse:
            z = last.decode(x)
            return first.decode(solved(g, z + h(z)))
        x = first.encode(x)
        return last.encode(solved(h, x + g(x)))

    value = whole(x)
    jacobian = torch.stack([torch.autograd.grad(value[:, i].sum(), x, create_graph=True)[0] for i in range(D)], 1)
    return value, torch.linalg.slogdet(jacobian).logabsdet


@pytest.mark.parametrize("inverse", [False, True], ids=["density", "samples"])
def test_gradients_are_those_of_unrolled_steps(inverse):
    """Of values and log-determinants, for all parameters and for the input, both ways."""
    flow, x = tiny(), rows(4).requires_grad_()
    found = (flow.transform.inverse if inverse else flow.transform)(x)
    expected = unrolled(flow, x, inverse)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(gradient(flow, own, x), gradient(flow, other, x), atol=1e-8, rtol=1e-8)


def test_gradients_of_the_series(monkeypatch):
    """With all unit vectors for probes and terms to rounding, in training: those of the exact log-determinant at a z that is solved."""
    flow, x = tiny(), rows(4).requires_grad_()
    expected = flow.log_prob(x)
    monkeypatch.setattr(residual, "random_probes", lambda x, count, noise: D**0.5 * unit_vectors(x))
    for layer in branches(flow.train()):
        layer.log_det, layer.terms = "truncated", 80  # .7^80 = 4e-13
    found = flow.log_prob(x)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(gradient(flow, found, x), gradient(flow, expected, x), atol=1e-8, rtol=1e-8)


def test_estimates_have_the_right_mean():
    """Value and gradient of all parameters, within 4.5 standard errors each."""
    flow, x, draws, rounds = tiny("geometric"), rows(2), 50, 40
    exact = flow.log_prob(x).mean()
    slopes = gradient(flow, exact)
    for layer in branches(flow):
        layer.exact_up_to, layer.evaluation_terms = 0, 2  # in evaluation each copy of a row has a number of terms of its own
    torch.manual_seed(0)
    found = []
    for _ in range(rounds):
        value = flow.log_prob(copies(x, draws)).mean()
        found.append(torch.cat([value.detach().reshape(1), gradient(flow, value)]))
    drawn, expected = torch.stack(found), torch.cat([exact.detach().reshape(1), slopes])
    assert ((drawn.mean(0) - expected).abs() <= 4.5 * drawn.std(0) / math.sqrt(rounds) + 1e-9).all()


class Halfway(LipschitzNet):
    """``k (x + f(x)) - x``: with it and with that of ``f^-1`` the implicit layer ``z + h(z) = x + g(x)`` is ``z = f(x)``."""

    lipschitz = 0.0  # in place of the property

    def __init__(self, f: Callable[[Tensor], Tensor], k: float, lipschitz: float):
        super().__init__()
        self.f, self.k, self.lipschitz = f, k, lipschitz

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.k * (x + self.f(x)) - x


def steep(x: Tensor) -> Tensor:
    """The paper's: .1 x left of 0, 10 x right of it."""
    return torch.where(x < 0, 0.1 * x, 10 * x)


def turned(x: Tensor) -> Tensor:
    """By a right angle."""
    return torch.stack([-x[:, 1], x[:, 0]], 1)


@pytest.mark.parametrize(
    "f, back, k, lipschitz, dim, ldj",
    [
        (steep, lambda z: -steep(-z), 20 / 121, 9 / 11, 1, lambda x: math.log(10) * x[:, 0].sign()),
        (turned, lambda z: -turned(z), 1 / 2, 0.5**0.5, 2, lambda x: 0 * x[:, 0]),
    ],
    ids=["steep", "turned"],
)
def test_one_layer_is_what_no_residual_step_is(f, back, k, lipschitz, dim, ldj):
    """Slopes of residual steps stay below 2, so that slopes of 10 take four; and a small move and its image make an acute angle."""
    x = rows(50, dim)
    g, h = Halfway(f, k, lipschitz), Halfway(back, k, lipschitz)
    for net in (g, h):
        grown = torch.pdist(net(x)) / torch.pdist(x)
        assert 0.99 * lipschitz < grown.max() < lipschitz * (1 + 1e-9)
    z, found = Chain(Residual(g, (dim,)), Inverse(Residual(h, (dim,)))).eval()(x)
    torch.testing.assert_close(z, f(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(found, ldj(x), atol=1e-9, rtol=0)


def test_kind():
    flow = implicit_flow((4,), steps=1, width=8)
    assert flow.kind == "estimate" and "2 terms" in flow.how[0] and flow.eval().kind == "exact"
    assert isinstance(flow.base, Normal) and sum(isinstance(module, Residual) for module in flow.modules()) == 2
