"""Layers between bijection and VAE: no mass is lost, known answers, and bounds that meet what they bound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pushforward as pf
import pushforward.distributions as pd
import pushforward.likelihoods as pl
import pushforward.nets as pn
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward.core import Chain, Distribution, Flow, Inverse, Transform
from pushforward.data import Rows
from pushforward.doctor import diagnose
from pushforward.models import abs_flow, sort_flow


def half_line() -> Transform:
    return Inverse(pt.Elementwise(pu.Softplus()))


def perturbed(flow: Flow, noise: float = 0.2) -> Flow:
    torch.manual_seed(0)
    flow = flow.double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow


def close(actual: Tensor, expected: Tensor | float, error: float = 1e-10) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64).expand_as(actual), atol=error, rtol=error)


def positive(points: int) -> tuple[Tensor, Tensor]:
    """Points of the half-line and weights, dense near 0: ``log(1 + exp(u))``."""
    u = torch.linspace(-20, 18, points, dtype=torch.float64)
    return nn.functional.softplus(u), u.sigmoid() * (u[1] - u[0])


def quadrant(points: int) -> tuple[Tensor, Tensor]:
    """Points of the plane where both numbers are positive, and weights, dense near the axes."""
    x, weight = positive(points)
    return torch.cartesian_prod(x, x), torch.cartesian_prod(weight, weight).prod(1)


def above(points: int) -> tuple[Tensor, Tensor]:
    """Points of the plane where the second number is the greater, and weights, dense near the diagonal."""
    gap, weight = positive(points)
    low, gap = torch.cartesian_prod(torch.linspace(-9, 9, points, dtype=torch.float64), gap).unbind(1)
    return torch.stack([low, low + gap], 1), weight.repeat(points) * 18 / (points - 1)


@torch.no_grad()
def mass(flow: Flow, x: Tensor, weight: Tensor) -> Tensor:
    parts = zip(x.split(2**13), weight.split(2**13), strict=True)
    return torch.stack([(flow.log_prob(part).exp() * w).sum() for part, w in parts]).sum()


SIGNS = torch.cartesian_prod(*2 * [torch.tensor([1.0, -1.0], dtype=torch.float64)])


def smooth() -> list[Transform]:
    """Couplings without corners, of which quadrature is exact."""
    nets = [nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(2)]
    return [pt.Coupling(mask, pu.Affine(), net) for mask, net in zip(([1, 0], [0, 1]), nets, strict=True)]


def learned() -> Distribution:
    return pd.Causal(pl.Bernoulli(), pn.MADE(2, 1, width=8, context=2), (2,), context=2)


FOLDED: dict[str, Callable[[], Flow]] = {
    "random-signs": lambda: Flow(pd.Normal((2,)), pt.Abs(), half_line(), *smooth()),
    "learned-signs": lambda: Flow(pd.Normal((2,)), pt.Abs(learned()), half_line(), *smooth()),
    "half-normal": lambda: Flow(pd.Free(pl.HalfNormal(), (2,)), pt.Abs()),
}


@pytest.mark.parametrize("name", FOLDED)
def test_no_mass_is_lost_behind_an_absolute_value(name):
    """The density integrates to 1 over the four quadrants."""
    flow = perturbed(FOLDED[name]())
    x, weight = quadrant(250)
    assert flow.kind == "exact"
    close(sum(mass(flow, signs * x, weight) for signs in SIGNS), 1.0, 1e-6)


def test_no_mass_is_lost_behind_a_sort():
    """The density integrates to 1 over both sides of the diagonal."""
    flow = perturbed(Flow(pd.Normal((2,)), pt.Sort(), pt.Gaps(half_line()), *smooth()))
    x, weight = above(400)
    assert flow.kind == "exact"
    close(mass(flow, x, weight) + mass(flow, x.flip(1), weight), 1.0, 1e-6)


def test_recipes_are_normalized():
    """To 1e-4, as splines have corners; what is symmetric is integrated on one side."""
    flow = perturbed(abs_flow((2,), steps=2, bins=4, width=8), 0.1)
    close(4 * mass(flow, *quadrant(900)), 1.0, 1e-4)
    flow = perturbed(sort_flow((2,), steps=2, bins=4, width=8), 0.1)
    close(2 * mass(flow, *above(700)), 1.0, 1e-4)


def test_what_a_normal_base_loses():
    """Directly behind, as published: 2^-D of the mass is left by |x|, 1 / L! by a sort; the rest lies where nothing comes from."""
    close(4 * mass(Flow(pd.Normal((2,)), pt.Abs()), *quadrant(300)), 2.0**-2, 1e-5)
    close(2 * mass(Flow(pd.Normal((2,)), pt.Sort()), *above(300)), 1 / math.factorial(2), 1e-5)


def test_the_doctor_sees_what_is_lost():
    """Draws that do not lead back to the latent they came from."""
    torch.manual_seed(0)
    x = Rows(torch.randn(300, 3, dtype=torch.float64))
    for sound, leaking in (
        (Flow(pd.Normal((3,)), pt.Abs(), half_line()), Flow(pd.Normal((3,)), pt.Abs())),
        (Flow(pd.Normal((3,)), pt.Sort(), pt.Gaps(half_line())), Flow(pd.Normal((3,)), pt.Sort())),
    ):
        assert diagnose(sound, x).healthy and not diagnose(leaking, x).healthy


def test_half_normals_with_signs_are_normal():
    flow = Flow(pd.Free(pl.HalfNormal(), (3,)), pt.Abs()).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    close(flow.log_prob(x).detach(), pd.Normal((3,)).log_prob(x))


def test_spacings_of_exponentials():
    """Sorted exponentials have independent gaps, the i-th of rate L + 1 - i (Renyi): a base of those is the joint density."""
    size = 6
    gaps = pd.Free(pl.Exponential(bound=30.0), (size,)).double()
    with torch.no_grad():
        gaps.h.copy_(30 * torch.atanh(-torch.arange(size, 0, -1.0, dtype=torch.float64).log() / 30)[None, None])
    flow = Flow(gaps, pt.Sort(), pt.Gaps(Chain()))
    x = -torch.rand(20, size, dtype=torch.float64).log()
    close(flow.log_prob(x).detach(), -x.sum(1))
    torch.manual_seed(0)
    drawn = flow.sample((4000,))
    assert ((drawn.mean(0) - 1).abs() < 4 / 4000**0.5).all(), "in any order, each has the same mean"


def test_maxima_of_exponentials():
    """Of four numbers with density exp(x), x < 0, the largest has 4 exp(4 z), and the others lie below it by standard exponentials."""
    layer = pt.MaxPool2d(pd.Free(pl.Exponential(), (6, 2, 3))).double()
    x = torch.rand(10, 2, 4, 6, dtype=torch.float64).log()
    z, ldj = layer(x)
    close(z, nn.functional.max_pool2d(x, 2), 0.0)
    close((ldj + (4 * z + math.log(4)).flatten(1).sum(1)).detach(), x.flatten(1).sum(1))


def test_a_pooling_decoder_reads_what_is_kept_and_the_context():
    class Reading(nn.Module):
        def forward(self, known: Tensor) -> Tensor:
            return known[:, :1].repeat(1, 3, 1, 1) + known[:, 1:].sum(1, keepdim=True)

    decoder = pd.Given(pl.Exponential(), Reading(), (3, 1, 2), context=(3, 1, 2))
    flow = Flow(pd.Normal((1, 1, 2)), pt.MaxPool2d(decoder), shape=(1, 2, 4), context=2).double()
    x, context = torch.randn(5, 1, 2, 4, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    z = nn.functional.max_pool2d(x, 2)
    scale = (5 * torch.tanh((z + context.sum(1)[:, None, None, None]) / 5)).exp()
    differences = (z.repeat_interleave(2, 2).repeat_interleave(2, 3) - x).flatten(2).unflatten(2, (2, 4)).sum(2)
    differences = differences.unflatten(2, (2, 2)).sum(3)  # of each cell, the largest's own is 0
    expected = (-differences / scale[:, :, 0] - 3 * scale[:, :, 0].log() - math.log(4)).sum((1, 2))
    close(flow.log_prob(x, context), flow.base.log_prob(z) + expected)
    with pytest.raises(ValueError, match="context"):
        flow.log_prob(x)


def test_learned_signs_share_what_random_ones_halve():
    """Over all signs of the same absolute values both give the same density."""
    flow = perturbed(abs_flow((3,), signs="learned", steps=2, width=8))
    even = Flow(flow.base, pt.Abs(), *flow.transform.transforms[1:])
    x = torch.randn(6, 3, dtype=torch.float64)
    points = [torch.tensor(signs) * x for signs in itertools.product((1.0, -1.0), repeat=3)]
    with torch.no_grad():
        log_p = torch.stack([flow.log_prob(point) for point in points])
        assert log_p.std(0).min() > 0.1
        close(log_p.logsumexp(0), even.log_prob(x) + 3 * math.log(2))


def test_what_is_natural_is_not_drawn():
    """``encode`` and ``decode`` take the center of what is drawn otherwise."""
    net = nn.Linear(2, 2)
    layer, z = pt.Abs(pd.Given(pl.Bernoulli(), net, (2,), context=2)), torch.rand(50, 2)
    assert torch.equal(layer.decode(z), torch.where(net(z) > 0, z, -z))
    assert torch.equal(pt.Abs().decode(z), z) and torch.equal(pt.Sort().decode(z), z)
    noise = pd.Given(pl.Normal(), nn.Linear(2, 4), (2,), context=2)
    torch.testing.assert_close(pt.Augment(noise).encode(z)[:, 2:], noise.net(z)[:, :2])


@pytest.mark.parametrize(("name", "option"), [("abs_flow", "model.signs=learned"), ("sort_flow", "model.coordinates=2")])
def test_a_recipe_is_fitted_by_name(name, option, tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 4))
    small = [option, "model.steps=1", "model.width=8", "train.steps=2"]
    run = pf.fit(rows, name, options=small, out=tmp_path / "run", report=False, progress=False)
    scores = pf.results(run)["scores"]
    assert scores[0]["kind"] == "exact" and math.isfinite(scores[0]["nats"])
    assert pf.sample(run, 5).num_rows == 5


# --- bounds ---


def mean_over_orders(base: Distribution, x: Tensor) -> Tensor:
    """``log mean p`` over all orders of the numbers, and the mean of the logarithm: ``(2, B)``."""
    log_p = torch.stack([base.log_prob(x[:, list(order)]) for order in itertools.permutations(range(x.shape[1]))])
    return torch.stack([log_p.logsumexp(0) - math.log(len(log_p)), log_p.mean(0)]).detach()


def test_a_random_order_bounds_the_exchangeable_density():
    """One draw is below on average by what the orders differ, many meet it; sorted, the same model is exact but another one."""
    model = perturbed(Flow(pd.Normal((3,)), pt.Autoregressive(pu.Affine(), pn.MADE(3, 2, width=8))), 0.5)
    flow = Flow(model.base, pt.StochasticPermutation(), *model.transform.transforms).double()
    assert flow.kind == "bound"
    x = torch.randn(6, 3, dtype=torch.float64)
    exact, bound = mean_over_orders(model, x)
    assert (bound < exact - 1e-3).any()
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([flow.log_prob(x) for _ in range(2000)])
        assert ((draws.mean(0) - bound).abs() <= 4 * draws.std(0) / math.sqrt(2000) + 1e-9).all()
        assert (flow.log_prob(x, samples=20_000) - exact).abs().max() < 0.02


def joint() -> tuple[torch.distributions.MultivariateNormal, Tensor]:
    """A normal of two numbers of data and one beside, and its covariance."""
    factor = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.7, -0.4, 0.6]], dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), scale_tril=factor), factor @ factor.T


def augmented(exact: bool) -> Flow:
    """The joint normal behind noise that is its conditional, or a standard normal."""
    normal, covariance = joint()
    weights = torch.linalg.solve(covariance[:2, :2], covariance[:2, 2])
    log_scale = (covariance[2, 2] - weights @ covariance[:2, 2]).log() / 2
    net = nn.Linear(2, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.stack([weights, torch.zeros_like(weights)]))
        net.bias.copy_(torch.stack([torch.zeros_like(log_scale), 5 * torch.atanh(log_scale / 5)]))
    noise = pd.Given(pl.Normal(), net, (1,), context=2) if exact else pd.Normal((1,))
    return Flow(pd.FromTorch(normal), pt.Augment(noise), shape=(2,)).double()


def test_augmentation_bounds_the_marginal():
    """By the divergence of the noise from ``p(e|x)``: every draw is exact where there is none, else the mean of their densities is."""
    torch.manual_seed(0)
    _, covariance = joint()
    marginal = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance[:2, :2])
    x = marginal.sample((8,))
    expected = marginal.log_prob(x)
    flow = augmented(exact=True)
    assert flow.kind == "bound"
    close(flow.log_prob(x).detach(), expected)
    draws = augmented(exact=False).log_prob(x.repeat(20_000, 1)).view(20_000, 8)
    assert (draws.mean(0) < expected - 0.01).all()
    weights = (draws - expected).exp()
    assert ((weights.mean(0) - 1).abs() < 5 * weights.std(0) / 20_000**0.5).all()


def test_augmenting_undoes_slicing():
    """``Augment(q)`` is ``Inverse(Slice(C, q))``, draw by draw."""
    noise = pd.Given(pl.Laplace(), nn.Linear(2, 4), (2,), context=2)
    pairs = ((pt.Augment(noise), Inverse(pt.Slice(2, noise))), (Inverse(pt.Augment(noise)), pt.Slice(2, noise)))
    for (ours, theirs), width in zip(pairs, (2, 4), strict=True):
        x, found = torch.randn(5, width), []
        for layer in (ours, theirs):
            torch.manual_seed(0)
            found.append(layer(x))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b)


# --- refused ---

REFUSED = [
    (lambda: pt.Sort()(torch.randn(2, 3, 4, 4)), r"Sort: expected numbers \(B, L\) or points .* got \(2, 3, 4, 4\)"),
    (lambda: pt.Gaps(Chain(), 3)(torch.randn(2, 3, 4)), "Gaps: expected numbers .* with a coordinate 3"),
    (lambda: pt.MaxPool2d(pd.Normal((3, 1, 1)))(torch.randn(2, 1, 3, 2)), "MaxPool2d: expected .* even sides, got .*; crop or pad"),
    (lambda: pt.MaxPool2d(pd.Normal((3, 1, 1))).inverse(torch.randn(2, 1)), r"MaxPool2d: expected \(B, C, H, W\), got \(2, 1\)"),
    (lambda: pt.Augment(Flow(pd.Normal((2,)), pt.StochasticPermutation())), "Augment: expected noise of kind 'exact', got 'bound'"),
    (lambda: pt.Augment(pd.Normal((1, 2)))(torch.randn(2, 3)), "Augment: noise of shape .* does not fit x"),
    (lambda: pt.Augment(pd.Normal((2,))).inverse(torch.randn(2, 2)), "Augment: expected more than the 2 channels of the noise"),
    (lambda: pt.Reshape((6,), (2, 2)), "Reshape: expected two shapes of as many numbers"),
    (lambda: pt.Reshape((-2,), (2,)), "Reshape: size must be a whole number of at least 1, got -2"),
    (lambda: pt.Reshape((6,), (2, 3))(torch.randn(2, 5)), r"Reshape: expected events of shape \(6,\), got \(5,\)"),
    (lambda: sort_flow((5,), coordinates=2), "sort_flow: expected rows of points of 2 coordinates each, got 5 columns"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refuses(call, words):
    with pytest.raises(ValueError, match=words):
        call()
