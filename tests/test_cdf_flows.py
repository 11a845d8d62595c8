"""One-dimensional flows: mixture distribution functions and increasing polynomials, and the numerical inverse that both share."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

import pushforward.distributions as pd
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward.core import Flow
from pushforward.univariate.bisection import invert

CDFS = {"gaussian": pu.GaussianMixtureCDF(3), "logistic": pu.LogisticMixtureCDF(3)}
POLYNOMIALS = {"odd": pu.OddPolynomial(5), "sum of squares": pu.SumOfSquares(2, 2)}
MAPS = CDFS | POLYNOMIALS


def random_h(univariate: pu.Univariate, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Around the map's identity, with noise of 1/2."""
    torch.manual_seed(0)
    start = torch.tensor(univariate.identity, dtype=dtype).view(1, -1, *(1 for _ in shape[1:]))
    return start + 0.5 * torch.randn(shape[0], univariate.params, *shape[1:], dtype=dtype)


def test_a_uniform_base_makes_the_cdf_flow_the_mixture():
    """CDF to uniform recovers maximum likelihood: the values and the gradient are those of the mixture itself."""
    torch.manual_seed(0)
    layer = pt.Elementwise(pu.GaussianMixtureCDF(3, bound=5.0), (1,)).double()
    with torch.no_grad():
        layer.h.copy_(random_h(layer.univariate, 1, 1))
    x = 2 * torch.randn(200, 1, dtype=torch.float64)
    log_prob = Flow(pd.Uniform((1,)), layer).log_prob(x)
    (gradient,) = torch.autograd.grad(log_prob.mean(), layer.h)
    h = layer.h.detach().clone().requires_grad_()
    logits, means, scales = h[0, :, 0].view(3, 3)
    mixture = MixtureSameFamily(Categorical(logits=logits), Normal(means, (5 * torch.tanh(scales / 5)).exp()))
    expected = mixture.log_prob(x[:, 0])
    torch.testing.assert_close(log_prob, expected, atol=1e-8, rtol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.mean(), h)[0], atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("batch", [4, 1])
def test_implicit_gradients(name, batch):
    """First and second derivatives of the inverse, of both outputs, with respect to z and h, against finite differences."""
    univariate = MAPS[name]
    h = random_h(univariate, batch, 2).requires_grad_()
    x = torch.randn(4, 2, dtype=torch.float64)
    z = univariate.forward(x, h)[0].detach().requires_grad_()
    assert torch.autograd.gradcheck(univariate.inverse, (z, h), eps=1e-6, atol=1e-6, rtol=1e-5)
    assert torch.autograd.gradgradcheck(univariate.inverse, (z, h), eps=1e-6, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", MAPS)
def test_integrates_to_one(name):
    univariate = MAPS[name]
    layer = pt.Elementwise(univariate, (1,)).double()
    with torch.no_grad():
        layer.h.copy_(random_h(univariate, 1, 1))
    base = pd.Uniform((1,)) if name in CDFS else pd.Normal((1,))
    x = torch.linspace(-60, 60, 60_001, dtype=torch.float64).unsqueeze(1)
    with torch.no_grad():
        total = torch.trapezoid(Flow(base, layer).log_prob(x).exp(), x[:, 0])
    assert abs(total - 1) <= 1e-6


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-8), (torch.float32, 1e-3)])
def test_round_trip_from_both_sides(name, dtype, error):
    univariate = MAPS[name]
    x = torch.linspace(-4, 4, 4001, dtype=dtype).unsqueeze(1)
    h = random_h(univariate, 1, 1, dtype=dtype)
    z, slope = univariate.forward(x, h)
    back, slope_back = univariate.inverse(z, h)
    assert back.dtype == dtype and (back - x).abs().max() <= error
    torch.testing.assert_close(slope + slope_back, torch.zeros_like(slope), atol=10 * error, rtol=0)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_at_identity(name):
    """The identity, or within 0.011 of it."""
    univariate = POLYNOMIALS[name]
    x = torch.linspace(-2, 2, 101, dtype=torch.float64).unsqueeze(1)
    z, _ = univariate.forward(x, torch.tensor(univariate.identity, dtype=torch.float64).view(1, -1, 1))
    torch.testing.assert_close(z, x, atol=0.011 if name == "odd" else 1e-12, rtol=0)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_are_onto(name):
    univariate = POLYNOMIALS[name]
    z = torch.tensor([-1e12, -1e6, -1.0, 0.0, 1e-9, 1e3, 1e9], dtype=torch.float64).unsqueeze(1)
    h = random_h(univariate, 1, 1)
    torch.testing.assert_close(univariate.forward(univariate.inverse(z, h)[0], h)[0], z, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", CDFS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cdfs_outside_the_unit_interval(name, dtype):
    """Finite x, log derivative -inf, finite gradients; and the far ends of the line stay inside."""
    univariate = CDFS[name]
    h = random_h(univariate, 1, 1, dtype=dtype).requires_grad_()
    z = torch.tensor([-3.0, 0.0, 0.4, 1.0, 7.0], dtype=dtype).unsqueeze(1).requires_grad_()
    x, slope = univariate.inverse(z, h)
    assert x.isfinite().all()
    assert (slope[[0, 1, 3, 4]] == -math.inf).all() and slope[2].isfinite()
    for value in torch.autograd.grad(x.sum() + slope[2].sum(), (z, h), retain_graph=True):
        assert value.isfinite().all()
    for value in torch.autograd.grad(slope.sum(), (z, h)):
        assert value.isfinite().all()
    ends, slope = univariate.forward(torch.tensor([[-1e4], [1e4]], dtype=dtype), h)
    assert (ends > 0).all() and (ends < 1).all() and slope.isfinite().all()


@pytest.mark.parametrize("name", CDFS)
def test_cdfs_in_their_left_tail(name):
    """Near 0 floats are dense, and x comes back from 20 scales away, with gradients of the closed form (one component)."""
    univariate = type(CDFS[name])(1)
    x = torch.linspace(-20, -5, 16, dtype=torch.float64).unsqueeze(1)
    h = torch.tensor([0.0, 0.3, 0.1], dtype=torch.float64).view(1, 3, 1).requires_grad_()
    z, slope = univariate.forward(x, h)
    back, slope_back = univariate.inverse(z.detach(), h)
    torch.testing.assert_close(back, x, atol=1e-10, rtol=0)
    torch.testing.assert_close(slope + slope_back, torch.zeros_like(slope), atol=1e-8, rtol=0)
    (gradient,) = torch.autograd.grad(back.sum(), h)
    expected = torch.tensor([0.0, 16.0, (x - 0.3).sum() * (1 - math.tanh(0.1 / 5) ** 2)], dtype=torch.float64)
    torch.testing.assert_close(gradient.flatten(), expected, atol=1e-8, rtol=1e-8)


def test_invert_expands_its_bracket():
    z = torch.tensor([-1e5, -3.0, 0.0, 2.0, 1e5], dtype=torch.float64)
    for low, high in ((-1.0, 1.0), (5.0, 5.0), (-3.0, -2.0)):
        x, slope = invert(lambda x: (x.sinh(), x.cosh().log()), z, z.new_tensor(low), z.new_tensor(high), doublings=16)
        torch.testing.assert_close(x, z.asinh(), atol=1e-12, rtol=0)
        torch.testing.assert_close(slope, -0.5 * torch.log1p(z.square()), atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: pu.GaussianMixtureCDF(0), "component"),
        (lambda: pu.LogisticMixtureCDF(bound=0.0), "bound"),
        (lambda: pu.OddPolynomial(4), "odd"),
        (lambda: pu.OddPolynomial(floor=0.0), "floor"),
        (lambda: pu.SumOfSquares(0), "square"),
        (lambda: pu.SumOfSquares(degree=-1), "degree"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
