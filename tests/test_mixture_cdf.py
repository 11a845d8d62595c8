"""The autoregressive mixture flow: its density is a product of conditional mixtures, and its map of the line keeps both tails."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Beta, Categorical, MixtureSameFamily, Normal

import pushforward as pf
import pushforward.univariate as pu
from pushforward.core import Flow
from pushforward.models import mixture_cdf
from pushforward.univariate.mixture_quantile import log_quantile

KERNELS = pytest.mark.parametrize("kernel", ["gaussian", "logistic"])
CDFS = {"gaussian": pu.GaussianMixtureCDF, "logistic": pu.LogisticMixtureCDF}
STANDARD = {"gaussian": torch.special.ndtr, "logistic": torch.sigmoid}


def random_h(univariate: pu.Univariate, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Around the map's identity, with noise of 1/2."""
    torch.manual_seed(0)
    start = torch.tensor(univariate.identity, dtype=dtype).view(1, -1, *(1 for _ in shape[1:]))
    return start + 0.5 * torch.randn(shape[0], univariate.params, *shape[1:], dtype=dtype)


def perturbed(**options) -> Flow:
    torch.manual_seed(1)
    flow = mixture_cdf((2,), width=16, depth=1, **options).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


@KERNELS
def test_quantile_map_is_the_cdf_on_another_scale(kernel):
    univariate, cdf = pu.MixtureQuantile(4, kernel), CDFS[kernel](4)
    x, h = torch.linspace(-5, 4, 901, dtype=torch.float64).unsqueeze(1), random_h(univariate, 1, 1)
    z, slope = univariate.forward(x, h)
    uniform, density = cdf.forward(x, h)
    torch.testing.assert_close(STANDARD[kernel](z), uniform, atol=1e-12, rtol=0)
    standard = random_h(CDFS[kernel](1), 1, 1) * 0  # one component of mean 0 and scale 1
    torch.testing.assert_close(slope + CDFS[kernel](1).forward(z, standard)[1], density, atol=1e-10, rtol=0)


@KERNELS
def test_one_component_is_affine_everywhere(kernel):
    """As far as 1e6 scales on both sides, where the CDF itself is 0 or 1."""
    univariate = pu.MixtureQuantile(1, kernel)
    x = torch.cat([-torch.logspace(6, -3, 50), torch.logspace(-3, 6, 50)]).double().unsqueeze(1)
    h = torch.tensor([0.7, 0.3, 0.2], dtype=torch.float64).view(1, 3, 1)
    scale = 5 * math.tanh(0.2 / 5)
    z, slope = univariate.forward(x, h)
    torch.testing.assert_close(z, (x - 0.3) * math.exp(-scale), atol=1e-12, rtol=1e-12)
    near = x.abs() < 1e3
    torch.testing.assert_close(torch.where(near, slope, -scale), torch.full_like(x, -scale), atol=1e-8, rtol=0)


@KERNELS
@pytest.mark.parametrize("dtype, error", [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_round_trips_reach_the_tails(kernel, dtype, error):
    """Twenty scales out on either side, where a CDF in float32 can't bring x back beyond five."""
    univariate = pu.MixtureQuantile(3, kernel)
    x = torch.linspace(-20, 20, 2001, dtype=dtype).unsqueeze(1)
    h = random_h(univariate, 1, 1, dtype=dtype)
    z, slope = univariate.forward(x, h)
    back, slope_back = univariate.inverse(z, h)
    assert back.dtype == dtype and (back - x).abs().max() <= error
    torch.testing.assert_close(slope + slope_back, torch.zeros_like(slope), atol=10 * error, rtol=0)


@KERNELS
def test_implicit_gradients(kernel):
    """First and second derivatives of both directions against finite differences, the tails included."""
    univariate = pu.MixtureQuantile(2, kernel)
    h = random_h(univariate, 1, 1).requires_grad_()
    x = torch.tensor([[-9.0], [-2.0], [8.0]], dtype=torch.float64, requires_grad=True)
    z = univariate.forward(x, h)[0].detach().requires_grad_()
    for function, start in ((univariate.forward, x), (univariate.inverse, z)):
        assert torch.autograd.gradcheck(function, (start, h), eps=1e-6, atol=1e-6, rtol=1e-5)
        assert torch.autograd.gradgradcheck(function, (start, h), eps=1e-6, atol=1e-4, rtol=1e-3)


def test_log_quantile_inverts_log_ndtr():
    z = -torch.cat([torch.tensor([1e-9, 0.3]), torch.logspace(-2, 8, 300)]).double()
    torch.testing.assert_close(log_quantile(torch.special.log_ndtr(z)), z, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("base, options", [("uniform", {}), ("beta", {}), ("normal", {"components": 1})])
def test_density_is_that_of_conditional_mixtures(base, options):
    """Values and gradients: of mixtures under a uniform base, of Beta(5, 5) of their CDFs, of Gaussians for one component."""
    flow = perturbed(**({"components": 3, "base": base} | options))
    actnorm, layer = flow.transform.transforms
    x = torch.randn(100, 2, dtype=torch.float64)
    log_prob = flow.log_prob(x)
    gradients = torch.autograd.grad(log_prob.mean(), list(layer.parameters()), allow_unused=True)

    y, ldj = actnorm(x)
    components = layer.univariate.components
    h = layer.net(y).view(100, 3, components, 2).movedim(1, 0) + torch.tensor(layer.univariate.identity).view(3, 1, components, 1)
    logits, means, scales = h.transpose(-1, -2).double()
    mixture = MixtureSameFamily(Categorical(logits=logits), Normal(means, (5 * torch.tanh(scales / 5)).exp()))
    expected = mixture.log_prob(y).sum(1) + ldj
    if base == "beta":
        expected = expected + Beta(*torch.tensor([5.0, 5.0], dtype=torch.float64)).log_prob(mixture.cdf(y)).sum(1)
    torch.testing.assert_close(log_prob, expected, atol=1e-8, rtol=0)
    for got, value in zip(gradients, torch.autograd.grad(expected.mean(), list(layer.parameters()), allow_unused=True), strict=True):
        if got is not None:
            torch.testing.assert_close(got, value, atol=1e-8, rtol=0)


@KERNELS
@pytest.mark.parametrize("base", ["uniform", "normal", "beta"])
def test_steps_compose_and_come_back(kernel, base):
    """All but the last step of a bounded base are maps of the line; float32 brings data back to 1e-3."""
    flow = perturbed(kernel=kernel, base=base, steps=3, components=4)
    layers = [type(layer.univariate) for layer in flow.transform.transforms[1::2]]
    assert layers == [pu.MixtureQuantile] * 2 + [pu.MixtureQuantile if base == "normal" else CDFS[kernel]]
    x = flow.sample((50,))
    assert (flow.decode(flow.encode(x)) - x).abs().max() <= 1e-6
    x, narrow = x.float(), flow.float()
    z = narrow.encode(x)
    assert base == "normal" or ((z > 0) & (z < 1)).all()
    if base == "normal":  # a number near 1 in float32 can't say where in the right tail x was
        assert (narrow.decode(z) - x).abs().max() <= 1e-3


def test_pictures_know_the_unit_square():
    """The report draws a square grid of a bounded base, and circles of another."""
    from pushforward.plots.plane import _box

    assert _box(mixture_cdf((2,))) == _box(mixture_cdf((2,), base="beta")) == [(0.0, 1.0), (0.0, 1.0)]
    assert _box(mixture_cdf((2,), base="normal")) is None


@pytest.mark.slow
@pytest.mark.parametrize("name, gap", [("2spirals", 0.05), ("checkerboard", 0.12)])
def test_preset_comes_near_the_entropy(name, gap):
    """A minute each; measured 0.006 and 0.036."""
    run = pf.fit(name, preset="mixture_cdf_plane", options={"train.steps": 8000}, progress=False, report=False)
    found = pf.results(run)
    assert -found["entropy"] - found["scores"][0]["nats"] <= gap


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mixture_cdf((2,), components=0), "component"),
        (lambda: mixture_cdf((3, 8, 8)), "vectors"),
        (lambda: mixture_cdf((2,), base="cauchy"), "base must be 'uniform', 'normal' or 'beta', got 'cauchy'"),
        (lambda: mixture_cdf((2,), steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: pu.MixtureQuantile(kernel="cauchy"), "kernel must be 'gaussian' or 'logistic'"),
        (lambda: pu.MixtureQuantile(0), "component"),
        (lambda: pu.MixtureQuantile(bound=math.inf), "bound"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
