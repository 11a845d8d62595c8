"""Nets that say where points move: products of their Jacobians, their start, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pushforward.nets import ConcatConv, PotentialNet, TimeMLP, UNet, VelocityNet
from pushforward.transforms import Continuous

MADE = {
    "dense": ((4,), lambda **options: TimeMLP(4, width=16, **options)),
    "dense-squash": ((4,), lambda **options: TimeMLP(4, width=16, time="squash", **options)),
    "convolutions": ((2, 3, 2), lambda **options: ConcatConv(2, width=8, depth=2, **options)),
    "resolutions": ((2, 3, 2), lambda **options: UNet(2, width=4, scales=1, **options)),
    "potential": ((4,), lambda **options: PotentialNet(4, width=8, depth=2, rank=3, **options)),
}
CASES = [(name, {"activation": units}) for name in MADE if name != "potential" for units in ("tanh", "softplus", "swish")]
nets = pytest.mark.parametrize("name", MADE)


def built(name: str, **options) -> tuple[VelocityNet, Tensor]:
    torch.manual_seed(0)
    shape, make = MADE[name]
    net = make(**options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return net, torch.randn(5, *shape, dtype=torch.float64)


@pytest.mark.parametrize(("name", "options"), [*CASES, ("potential", {})])
def test_products_are_of_the_jacobian(name, options):
    """Written out, they are of the Jacobian that autograd finds, transposed or not; with contexts and a time of each row."""
    net, x = built(name, context=2, **options)
    dim, context, t = x[0].numel(), torch.randn(5, 2, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    units = torch.eye(dim, dtype=torch.float64).view(dim, 1, *x.shape[1:]).expand(dim, *x.shape)
    (f, found), (other, expected) = net.products(x, t, context, units), VelocityNet.products(net, x, t, context, units)
    torch.testing.assert_close(f, other, atol=1e-12, rtol=1e-12)
    found, expected = found.flatten(2), expected.flatten(2)
    if not torch.allclose(found, expected):
        expected = expected.transpose(0, 2)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_traces_in_closed_form():
    """That of the Jacobian by autograd, which is symmetric; nothing is drawn, and a step's gradient reaches every parameter."""
    net, x = built("potential", context=2)
    c = torch.randn(5, 2, dtype=torch.float64)
    jacobians = torch.autograd.functional.jacobian(lambda z: net(z, 0.3, c).sum(0), x).transpose(0, 1)
    f, trace = net.trace(x, 0.3, c)
    torch.testing.assert_close(f, net(x, 0.3, c))
    torch.testing.assert_close(jacobians, jacobians.mT, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(trace, jacobians.diagonal(dim1=1, dim2=2).sum(1), atol=1e-12, rtol=1e-12)
    layer = Continuous(net, (4,))
    assert layer.training and not layer.estimate and torch.equal(layer(x, c)[1], layer(x, c)[1])
    torch.testing.assert_close(layer.course(x, c).ldj, layer(x, c)[1], atol=1e-12, rtol=1e-12)
    layer(x, c)[1].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@nets
def test_nets_see_time_and_context(name):
    net, x = built(name, context=2)
    c = torch.randn(5, 2, dtype=torch.float64)
    f = net(x, 0.2, c)
    assert ((f - net(x, 0.3, c)).abs() > 1e-6).all() and ((f - net(x, 0.2, c + 1)).abs() > 1e-6).all()
    torch.testing.assert_close(net(x, torch.full((5,), 0.2, dtype=torch.float64), c), f)
    with pytest.raises(ValueError, match=r"expected a context of shape \(5, 2\), got none"):
        net(x, 0.2)


@nets
def test_nets_start_at_zero(name):
    """Or almost: a quadratic form that is zero would learn nothing."""
    shape, make = MADE[name]
    assert make()(torch.randn(3, *shape), 0.5).abs().max() <= (0.1 if name == "potential" else 0)


@pytest.mark.parametrize("name", [name for name in MADE if name != "potential"])
def test_units_have_second_derivatives(name):
    with pytest.raises(ValueError, match=r"expected activation tanh, softplus, swish, got 'relu'; units must be twice differentiable"):
        MADE[name][1](activation="relu")


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="odd kernel"):
        ConcatConv(1, kernel=2)
    with pytest.raises(ValueError, match="images"):
        ConcatConv(1)(torch.zeros(2, 3), 0.0)
    with pytest.raises(ValueError, match="images"):
        UNet(1)(torch.zeros(2, 3, 4, 4), 0.0)
    with pytest.raises(ValueError, match="expected time concat or squash, got 'gated'"):
        TimeMLP(4, time="gated")
    with pytest.raises(ValueError, match=r"shape \(B, 4\)"):
        TimeMLP(4)(torch.zeros(2, 3), 0.0)
