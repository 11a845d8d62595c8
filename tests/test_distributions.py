"""Bases and likelihoods: what every one must satisfy, and known values."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.distributions as td
from scipy import stats
from torch import Tensor, nn

import pushforward.distributions as pd
import pushforward.likelihoods as pl
from pushforward.core import Distribution, Flow
from pushforward.nets import MADE
from pushforward.transforms import Elementwise
from pushforward.univariate import Affine


@dataclass(frozen=True)
class Base:
    """A distribution over two numbers (over one, for `line`), the cube that holds its mass, points outside of its support."""

    make: Callable[[], Distribution]
    line: Callable[[], Distribution]
    low: float = -12.0
    high: float = 12.0
    outside: tuple[float, ...] = ()
    context: int = 0


def net(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs))


def torch_mixture() -> td.Distribution:
    parts = td.Independent(td.Normal(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.7]])), 1)
    return td.MixtureSameFamily(td.Categorical(torch.tensor([0.3, 0.7])), parts)


BASES = {
    "normal": Base(lambda: pd.Normal((2,)), lambda: pd.Normal((1,))),
    "uniform": Base(lambda: pd.Uniform((2,)), lambda: pd.Uniform((1,)), 0.0, 1.0, (-0.1, 1.1, -1e30, math.inf)),
    "box": Base(
        lambda: pd.Uniform((2,), torch.tensor([-1.0, -2.0]), 3.0), lambda: pd.Uniform((1,), -1.0, 3.0), -2.0, 3.0, (-2.5, 3.5, -math.inf)
    ),
    "beta": Base(lambda: pd.Beta((2,), 2.0, torch.tensor([3.0, 1.5])), lambda: pd.Beta((1,), 2.0, 3.0), 0.0, 1.0, (-0.1, 0.0, 1.0, 1e30)),
    "logistic": Base(lambda: pd.Logistic((2,)), lambda: pd.Logistic((1,)), -40.0, 40.0),
    "student": Base(lambda: pd.StudentT((2,), 6.0), lambda: pd.StudentT((1,), 6.0), -40.0, 40.0),
    "student-learnable": Base(lambda: pd.StudentT((2,), 5.0, learnable=True), lambda: pd.StudentT((1,), 5.0, learnable=True), -60.0, 60.0),
    "mixture": Base(lambda: pd.GaussianMixture((2,), 3), lambda: pd.GaussianMixture((1,), 3)),
    "diagonal-mixture": Base(lambda: pd.DiagonalMixture((2,), 3), lambda: pd.DiagonalMixture((1,), 3)),
    "conditional": Base(
        lambda: pd.Given(pl.Normal(), net(4), (2,), context=3), lambda: pd.Given(pl.Normal(), net(2), (1,), context=3), context=3
    ),
    "causal": Base(
        lambda: pd.Causal(pl.Normal(), MADE(2, 2, width=8, context=3), (2,), context=3),
        lambda: pd.Causal(pl.Normal(), MADE(1, 2, width=8, context=3), (1,), context=3),
        context=3,
    ),
    "free-laplace": Base(lambda: pd.Free(pl.Laplace(), (2,)), lambda: pd.Free(pl.Laplace(), (1,)), -25.0, 25.0),
    "torch-laplace": Base(
        lambda: pd.FromTorch(td.Laplace(torch.zeros(2), 1.0)), lambda: pd.FromTorch(td.Laplace(torch.zeros(1), 1.0)), -25.0, 25.0
    ),
    "torch-gamma": Base(
        lambda: pd.FromTorch(td.Gamma(torch.tensor([2.0, 3.0]), 1.0)),
        lambda: pd.FromTorch(td.Gamma(torch.tensor([2.0]), 1.0)),
        0.0,
        30.0,
        (-0.5, -1e30, -math.inf),
    ),
    "torch-uniform": Base(
        lambda: pd.FromTorch(td.Uniform(torch.zeros(2), 1.0)), lambda: pd.FromTorch(td.Uniform(torch.zeros(1), 1.0)), 0.0, 1.0, (-0.1, 1.1)
    ),
    "torch-mixture": Base(
        lambda: pd.FromTorch(torch_mixture()),
        lambda: pd.FromTorch(td.MixtureSameFamily(td.Categorical(torch.ones(1)), td.Independent(td.Normal(torch.zeros(1, 1), 1.0), 1))),
    ),
    "torch-transformed": Base(
        lambda: pd.FromTorch(
            td.TransformedDistribution(td.Normal(torch.zeros(2), 0.5), [td.AffineTransform(torch.ones(2), 0.5), td.ExpTransform()])
        ),
        lambda: pd.FromTorch(td.LogNormal(torch.zeros(1), 0.5)),
        0.0,
        60.0,
        (-0.5, -10.0),
    ),
    "torch-gumbel": Base(
        lambda: pd.FromTorch(td.Gumbel(torch.zeros(2), 1.0)), lambda: pd.FromTorch(td.Gumbel(torch.zeros(1), 1.0)), -6.0, 40.0
    ),
    "torch-correlated": Base(
        lambda: pd.FromTorch(td.MultivariateNormal(torch.ones(2), torch.tensor([[2.0, 0.6], [0.6, 1.0]]))),
        lambda: pd.FromTorch(td.Normal(torch.zeros(1), 1.0)),
    ),
}

bases = pytest.mark.parametrize("name", BASES)


@bases
@pytest.mark.parametrize("far", [math.inf, -math.inf])
def test_nothing_lies_at_infinity(name, far):
    """-inf there, whichever number it is, and other rows stay as they are; no rows and one row."""
    entry = BASES[name]
    base = entry.make()
    x = torch.full((4, *base.shape), (max(entry.low, 0) + min(entry.high, 1)) / 2).double()
    context = torch.randn(4, *base.context_shape).double() if base.context_shape is not None else None
    base.double()
    expected = base.log_prob(x, context)
    x.flatten(1)[1, 0], x.flatten(1)[2, -1], x[3] = far, far, far
    found = base.log_prob(x, context)
    assert torch.equal(found[:1], expected[:1]) and (found[1:] == -torch.inf).all()
    for rows in (0, 1):
        few = None if context is None else context[:rows]
        torch.testing.assert_close(
            base.log_prob(x[:rows], few), found[:rows], atol=1e-12, rtol=1e-12
        )  # products of one row round otherwise
        assert base.draw(rows, few)[0].shape == (rows, *base.shape)


def build(name: str, line: bool = False) -> tuple[Base, Distribution, Tensor | None]:
    """The distribution in float64 with noise of 0.1 on every parameter, and one context."""
    entry = BASES[name]
    torch.manual_seed(sum(map(ord, name)))
    base = (entry.line() if line else entry.make()).double()
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return entry, base, torch.randn(entry.context).double() if entry.context else None


def rows(context: Tensor | None, count: int) -> Tensor | None:
    return None if context is None else context.expand(count, -1)


def line(entry: Base) -> tuple[Tensor, Tensor]:
    """Midpoints ``(N, 1)`` and ends of small intervals that cover the mass."""
    edges = torch.linspace(entry.low, entry.high, 20_001, dtype=torch.float64)
    return ((edges[1:] + edges[:-1]) / 2).unsqueeze(1), edges


def plane(entry: Base) -> tuple[Tensor, Tensor]:
    """Midpoints ``(N, 2)`` of small cells that cover the mass, and the area of one."""
    edges = torch.linspace(entry.low, entry.high, 601, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    return torch.cartesian_prod(middle, middle), (edges[1] - edges[0]).square()


@bases
@torch.no_grad()
def test_integrates_to_one(name):
    entry, base, context = build(name, line=True)
    x, edges = line(entry)
    assert abs(base.log_prob(x, rows(context, len(x))).exp().sum() * (edges[1] - edges[0]) - 1) < 1e-3
    entry, base, context = build(name)
    x, cell = plane(entry)
    assert abs(base.log_prob(x, rows(context, len(x))).exp().sum() * cell - 1) < 1e-2


@bases
@torch.no_grad()
def test_draws_match_the_density(name):
    """Kolmogorov-Smirnov against the integral of the density."""
    entry, base, context = build(name, line=True)
    x, edges = line(entry)
    mass = base.log_prob(x, rows(context, len(x))).exp().cumsum(0) * (edges[1] - edges[0])
    draws = base.sample((5_000,), context).flatten()
    share = mass[torch.searchsorted(edges, draws).clamp(1, len(mass)) - 1]
    assert stats.kstest(share.numpy(), "uniform").pvalue > 1e-3


@bases
@torch.no_grad()
def test_draws_in_the_plane_match_the_density(name):
    """The mean of log p over draws is minus the entropy found on a grid, and half of a plane holds its share."""
    entry, base, context = build(name)
    draws, log_prob = base.sample_and_log_prob((20_000,), context)
    x, _ = plane(entry)
    p = base.log_prob(x, rows(context, len(x)))
    weight = p.softmax(0)
    expected = torch.where(p > -math.inf, weight * p, 0.0).sum()
    assert abs(log_prob.mean() - expected) < 5 * log_prob.std() / math.sqrt(20_000) + 1e-2
    share = (draws[:, 0] > draws[:, 1] + 0.25).double().mean()  # tells a correlation from its opposite
    assert abs(share - weight[x[:, 0] > x[:, 1] + 0.25].sum()) < 0.02


@bases
def test_log_prob_of_draws(name):
    """The two ways to a density agree, in every shape; a context is needed where there is one."""
    _, base, context = build(name)
    contexts = None if context is None else torch.randn(4, 3).double()
    draws, log_prob = base.sample_and_log_prob((6,), contexts)
    batch = (6, 4) if contexts is not None else (6,)
    assert draws.shape == (*batch, 2) and log_prob.shape == batch and log_prob.isfinite().all()
    flat = None if contexts is None else contexts.expand(6, 4, 3).reshape(-1, 3)
    torch.testing.assert_close(base.log_prob(draws.reshape(-1, 2), flat), log_prob.flatten(), atol=1e-10, rtol=1e-10)
    assert base.sample((0,), contexts).shape == (0, *batch[1:], 2)
    if context is not None:
        with pytest.raises(ValueError, match="context"):
            base.log_prob(draws.reshape(-1, 2))


@bases
def test_outside_of_the_support(name):
    """-inf and not an exception, a finite gradient, and the rows inside as if alone; `support` says the same."""
    entry, base, context = build(name)
    inside = base.sample((1,), context)[0]
    for value in entry.outside:
        for feature in (0, 1):
            x = torch.stack([inside, inside])
            x[0, feature] = value
            x.requires_grad_()
            log_prob = base.log_prob(x, rows(context, 2))
            assert log_prob[0] == -math.inf and log_prob[1].isfinite()
            torch.testing.assert_close(log_prob[1:], base.log_prob(x[1:], rows(context, 1)))
            if log_prob.requires_grad:
                (gradient,) = torch.autograd.grad(log_prob.sum(), x)
                assert gradient.isfinite().all()
            if value not in (0.0, 1.0):  # ends belong to a closed support, though the density may vanish there
                assert not base.support.check(x)[0]
    draws = base.sample((100,), context)
    assert base.support.check(draws).all() and base.support.event_dim == 1


@bases
def test_gradients(name):
    """Finite in x and in every parameter; draws are reparameterised."""
    _, base, context = build(name)
    x = base.sample((50,), context).requires_grad_()
    log_prob = base.log_prob(x, rows(context, 50))
    if log_prob.requires_grad:
        log_prob.sum().backward()
        assert x.grad.isfinite().all()
    for parameter_name, parameter in base.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), parameter_name
        parameter.grad = None
    draws, log_prob = base.sample_and_log_prob((50,), context)
    if any(True for _ in base.parameters()):
        (draws.square().sum() + log_prob.sum()).backward()
        for parameter_name, parameter in base.named_parameters():
            assert parameter.grad.isfinite().all() and parameter.grad.any(), parameter_name


@bases
def test_dtype_and_state(name):
    """float32 and float64 through draws and densities; state_dict, deepcopy, repr; one row per row."""
    entry, base, context = build(name)
    draws, log_prob = base.sample_and_log_prob((5,), context)
    assert draws.dtype == log_prob.dtype == torch.float64
    single = entry.make()
    context32 = None if context is None else context.float()
    draws32, log_prob32 = single.sample_and_log_prob((5,), context32)
    assert draws32.dtype == log_prob32.dtype == single.log_prob(draws32, rows(context32, 5)).dtype == torch.float32
    other = entry.make().double()
    other.load_state_dict(base.state_dict())
    for twin in (other, copy.deepcopy(base)):
        torch.testing.assert_close(twin.log_prob(draws, rows(context, 5)), log_prob, atol=1e-12, rtol=0)
    assert type(base).__name__ in repr(base)


@bases
def test_as_the_base_of_a_flow(name):
    """Checked on the meta device at construction, then a density of its own; one graph."""
    _, base, context = build(name)
    flow = Flow(base, Elementwise(Affine(), (2,)), context=len(context) if context is not None else None).double()
    x, log_prob = flow.sample_and_log_prob((7,), context)
    torch.testing.assert_close(flow.log_prob(x, rows(context, 7)), log_prob)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        compiled = torch.compile(flow, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x, rows(context, 7)), log_prob)


ORACLES = {
    "uniform": (pd.Uniform((2,), -1.0, 2.0), td.Uniform(-1.0, 2.0)),
    "beta": (pd.Beta((2,), 0.7, 2.5), td.Beta(torch.tensor(0.7), torch.tensor(2.5))),
    "student": (pd.StudentT((2,), 3.0), td.StudentT(torch.tensor(3.0))),
}


@pytest.mark.parametrize("name", ORACLES)
def test_known_values(name):
    base, oracle = ORACLES[name]
    x = oracle.sample((100, 2))
    torch.testing.assert_close(base.log_prob(x), oracle.log_prob(x).sum(1), atol=1e-4, rtol=1e-4)


def test_ends_of_the_beta():
    """At its ends: zero, finite or unbounded density, as a and b say; never NaN."""
    ends = torch.tensor([[0.0], [1.0]])
    assert pd.Beta((1,), 2.0, 2.0).log_prob(ends).tolist() == [-math.inf, -math.inf]
    torch.testing.assert_close(pd.Beta((1,), 1.0, 1.0).log_prob(ends), torch.zeros(2))
    assert (pd.Beta((1,), 0.5, 0.5).log_prob(ends) > 5).all()


def test_mixture_against_torch():
    torch.manual_seed(0)
    mixture = pd.GaussianMixture((3,), 4).double()
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    factor = mixture._factor()[0]
    parts = td.MultivariateNormal(mixture.mean, precision_matrix=factor @ factor.mT)
    oracle = td.MixtureSameFamily(td.Categorical(logits=mixture.logits), parts)
    x = torch.randn(50, 3).double()
    torch.testing.assert_close(mixture.log_prob(x), oracle.log_prob(x))


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_mixture_initialize(shape):
    """From a batch to a fit close to the truth at once, the same every time; events of any shape."""
    torch.manual_seed(0)
    corners = torch.tensor([[-4.0, -4.0], [-4.0, 4.0], [4.0, 0.0]])
    x = (corners[torch.randint(0, 3, (3000,))] + torch.randn(3000, 2) @ torch.tensor([[0.6, 0.3], [0.0, 0.2]])).reshape(-1, *shape)
    entropy = math.log(3) + math.log(2 * math.pi * math.e) + math.log(0.6 * 0.2)
    figures = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        mixture = pd.GaussianMixture(shape, 3)
        mixture.initialize(x)
        figures.append(mixture.log_prob(x).mean().item())
    assert figures[0] == figures[1] and abs(figures[0] + entropy) < 0.05


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_mixture_initialize_on_little(rows):
    """Fewer rows than components, and rows that are all the same: finite densities and gradients."""
    mixture = pd.GaussianMixture((2,), 5)
    mixture.initialize(torch.ones(rows, 2))
    log_prob = mixture.log_prob(torch.randn(10, 2))
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and all(p.grad.isfinite().all() for p in mixture.parameters())


def test_mixture_cannot_collapse():
    """The floor holds whatever the parameters: one row does not get infinite likelihood."""
    mixture = pd.GaussianMixture((1,), 1, floor=0.01)
    with torch.no_grad():
        mixture.precision.fill_(50.0)
        mixture.mean.zero_()
    assert mixture.log_prob(torch.zeros(1, 1)) <= math.log(100) - 0.5 * math.log(2 * math.pi) + 1e-5


def test_conditional_scale_is_bounded():
    base = pd.Given(pl.Normal(bound=2.0), nn.Linear(1, 4), (2,), context=1)
    nn.init.constant_(base.net.bias, 1e6)
    assert base.sample((1000,), torch.zeros(1)).std(0).max() < 1.2 * math.exp(2)


def test_conditional_image():
    base = pd.Given(pl.Normal(), nn.Conv2d(4, 6, 1), (3, 2, 2), context=(4, 2, 2))
    draws, log_prob = base.sample_and_log_prob((5,), torch.randn(7, 4, 2, 2))
    assert draws.shape == (5, 7, 3, 2, 2) and log_prob.shape == (5, 7)


def test_adapter_follows_dtype_and_keeps_its_own_copy():
    """Its tensors are buffers, saved and moved with the model; the object that was given is left alone."""
    loc = torch.zeros(2, requires_grad=True)
    given = td.Normal(loc, torch.ones(2))
    base = pd.FromTorch(given).double()
    assert base.distribution.loc.dtype == torch.float64 and given.loc.dtype == torch.float32 and not list(base.parameters())
    assert pd.FromTorch(td.Poisson(torch.ones(2))).log_prob(torch.tensor([[0.5, 1.0], [2.0, 1.0]])).isfinite().tolist() == [False, True]
    with torch.no_grad():
        loc.fill_(100.0)
    assert not base.distribution.loc.any()


REFUSED = [
    (lambda: pd.Uniform((2,), 1.0, 1.0), "low < high"),
    (lambda: pd.Uniform((2,), 0.0, math.inf), "finite"),
    (lambda: pd.Beta((2,), 0.0, 1.0), "expected a positive"),
    (lambda: pd.Beta((2,), 1.0, math.nan), "expected b positive"),
    (lambda: pd.StudentT((2,), -1.0), "df positive"),
    (lambda: pd.GaussianMixture((2,), 0), "at least one component"),
    (lambda: pd.GaussianMixture((2,), 2, floor=0.0), "floor must be positive"),
    (lambda: pd.FromTorch(nn.Linear(1, 1)), "object of torch.distributions"),
    (lambda: pd.Uniform((2,)).log_prob(torch.zeros(4, 3)), "expected x of shape"),
]


@pytest.mark.parametrize("make, words", REFUSED, ids=[words for _, words in REFUSED])
def test_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()
