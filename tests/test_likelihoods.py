"""The laws of likelihoods given parameters, and of what supplies the parameters: constants, a context, a causal net."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import constraints

import pushforward.likelihoods as pl
from pushforward.core import Distribution
from pushforward.distributions import Causal, Free, Given
from pushforward.nets import MADE, CausalTransformer, MaskedConvNet

# name -> a likelihood and the number of channels that its parameters are for
LIKELIHOODS: dict[str, tuple[Callable[[], pl.Likelihood], int]] = {
    "bernoulli": (pl.Bernoulli, 2),
    "categorical": (lambda: pl.Categorical(5), 2),
    "categorical-one-level": (lambda: pl.Categorical(1), 1),
    "discretized": (lambda: pl.DiscretizedLogisticMixture(6, 3), 2),
    "discretized-one-level": (lambda: pl.DiscretizedLogisticMixture(1, 2), 1),
    "discretized-two-tied": (lambda: pl.DiscretizedLogisticMixture(5, 2, channels=2), 2),
    "discretized-three-tied": (lambda: pl.DiscretizedLogisticMixture(4, 3, channels=3), 3),
    "discretized-four-tied": (lambda: pl.DiscretizedLogisticMixture(3, 2, channels=4, bound=12.0), 4),
    "normal": (pl.Normal, 2),
    "laplace": (lambda: pl.Laplace(bound=3.0), 2),
    "half-normal": (pl.HalfNormal, 2),
    "exponential": (lambda: pl.Exponential(bound=3.0), 2),
}
likelihoods = pytest.mark.parametrize("name", LIKELIHOODS)
discrete = pytest.mark.parametrize("name", [name for name, (make, _) in LIKELIHOODS.items() if isinstance(make(), pl.Discrete)])
dense = pytest.mark.parametrize("name", [name for name, (make, _) in LIKELIHOODS.items() if not isinstance(make(), pl.Discrete)])


def of(name: str) -> tuple[pl.Likelihood, int]:
    make, channels = LIKELIHOODS[name]
    return make(), channels


def parameters(likelihood: pl.Likelihood, *shape: int, spread: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """h ``(1, params, *shape)`` around the start."""
    torch.manual_seed(sum(shape))
    start = torch.tensor(likelihood.start, dtype=dtype).view(1, -1, *(1 for _ in shape))
    return start + spread * torch.randn(1, likelihood.params, *shape, dtype=dtype)


def outcomes(likelihood: pl.Discrete, channels: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All there are, ``(levels^C, C)``."""
    return torch.cartesian_prod(*[torch.arange(likelihood.levels, dtype=dtype)] * channels).view(-1, channels)


def extremes(likelihood: pl.Likelihood, channels: int, dtype: torch.dtype) -> Tensor:
    """h of +-1e4 and 0, in all mixtures of signs."""
    torch.manual_seed(0)
    return 1e4 * torch.randint(-1, 2, (300, likelihood.params, channels)).to(dtype)


# --- the laws: each takes a likelihood and the number of channels, so that a planted fault can be shown to it ---


def law_probabilities_sum_to_one(likelihood: pl.Discrete, channels: int) -> None:
    x = outcomes(likelihood, channels)
    for h in (*(parameters(likelihood, channels, spread=s) for s in (0.3, 3.0)), *extremes(likelihood, channels, torch.float64).split(1)):
        total = likelihood.log_prob(x, h).sum(1).exp().sum()
        assert abs(total.item() - 1) < 1e-10


def law_density_integrates_to_one(likelihood: pl.Likelihood, channels: int) -> None:
    u = torch.linspace(-14, 14, 20_000, dtype=torch.float64)  # 0, where some jump, lies half way between two
    x = u.sinh().unsqueeze(1).expand(-1, channels)
    mass = likelihood.log_prob(x, parameters(likelihood, channels)).exp() * u.cosh().unsqueeze(1) * (u[1] - u[0])
    torch.testing.assert_close(mass.sum(0), torch.ones(channels, dtype=torch.float64), atol=1e-5, rtol=0)  # the kink of Laplace's


def law_draws_agree_with_the_probabilities(likelihood: pl.Likelihood, channels: int) -> None:
    h = parameters(likelihood, channels)
    torch.manual_seed(1)
    x = likelihood.draw(h.expand(20_000, -1, -1))
    if not isinstance(likelihood, pl.Discrete):
        for u in likelihood.cdf(x, h).unbind(1):
            assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-3
        return
    assert likelihood.support.check(x).all()
    number = (x * likelihood.levels ** torch.arange(channels - 1, -1, -1, dtype=x.dtype)).sum(1)
    seen = torch.bincount(number.long(), minlength=likelihood.levels**channels).double()
    expected = 20_000 * likelihood.log_prob(outcomes(likelihood, channels), h).sum(1).exp()
    rare = expected < 5
    assert seen[rare].sum() < 40 + 2 * expected[rare].sum()
    statistic = ((seen - expected).square() / expected)[~rare].sum().item()
    assert stats.chi2.sf(statistic, max(1, int((~rare).sum()) - 1)) > 1e-3


def law_finite_at_the_extremes(likelihood: pl.Likelihood, channels: int) -> None:
    for dtype in (torch.float32, torch.float64):
        least = 0.0 if likelihood.support is constraints.nonnegative else -1e4
        ends = (0.0, likelihood.levels - 1.0) if isinstance(likelihood, pl.Discrete) else (least, 1e4)
        for h in (extremes(likelihood, channels, dtype), parameters(likelihood, channels, dtype=dtype)):
            for end in ends:
                h = h.detach().requires_grad_()
                x = torch.full((len(h), channels), end, dtype=dtype, requires_grad=True)
                log_prob = likelihood.log_prob(x, h)
                assert log_prob.dtype == dtype and log_prob.isfinite().all()
                gradients = torch.autograd.grad(log_prob.sum(), [h, x], allow_unused=True)
                assert all(g is None or g.isfinite().all() for g in gradients)
            assert likelihood.draw(h.detach()).isfinite().all()


def law_outside_of_the_support(likelihood: pl.Likelihood, channels: int) -> None:
    """-inf there, and the numbers beside it as if alone; gradients stay finite."""
    h = parameters(likelihood, channels).requires_grad_()
    outside = [-math.inf, math.inf, math.nan]
    if isinstance(likelihood, pl.Discrete):
        outside += [-1.0, likelihood.levels, likelihood.levels - 0.5, 1e30]
    elif likelihood.support is constraints.nonnegative:
        outside += [-1.0, -1e30]
    x = torch.zeros(len(outside), channels, dtype=torch.float64)
    x[:, -1] = torch.tensor(outside)
    log_prob = likelihood.log_prob(x, h)
    assert (log_prob[:, -1] == -math.inf).all()
    if isinstance(likelihood, pl.Discrete):
        assert not likelihood.support.check(x[:, -1]).any()
    torch.testing.assert_close(log_prob[:, :-1], likelihood.log_prob(torch.zeros_like(x), h)[:, :-1])
    (gradient,) = torch.autograd.grad(log_prob[log_prob.isfinite()].sum() + 0 * log_prob[:0].sum(), [h], allow_unused=True)
    assert gradient is None or gradient.isfinite().all()


def law_cdf_is_the_cumulated_sum(likelihood: pl.Likelihood, channels: int) -> None:
    """Of the probabilities, or of the density by quadrature; 0 before and 1 after; of tied channels, given those before."""
    h = parameters(likelihood, channels)
    zeros = torch.zeros(1, channels, dtype=torch.float64)
    assert not likelihood.cdf(zeros - math.inf, h).any() and (likelihood.cdf(zeros + math.inf, h) == 1).all()
    if isinstance(likelihood, pl.Discrete):
        x = outcomes(likelihood, channels)
        everything = x.unsqueeze(1).repeat(1, likelihood.levels, 1)  # x, with another last channel
        everything[:, :, -1] = torch.arange(likelihood.levels)
        masses = likelihood.log_prob(everything.flatten(0, 1), h)[:, -1].exp().view(len(x), -1)
        expected = masses.cumsum(1).gather(1, x[:, -1:].long())
        torch.testing.assert_close(likelihood.cdf(x, h)[:, -1:], expected, atol=1e-10, rtol=0)
        torch.testing.assert_close(likelihood.cdf(x + 0.7, h)[:, -1:], expected, atol=1e-10, rtol=0)
        return
    u = torch.linspace(-12, 12, 20_000, dtype=torch.float64)
    x = u.sinh().unsqueeze(1).expand(-1, channels)
    masses = likelihood.log_prob(x, h).exp() * u.cosh().unsqueeze(1) * (u[1] - u[0])
    torch.testing.assert_close(likelihood.cdf(x, h)[::1000], (masses.cumsum(0) - masses / 2)[::1000], atol=1e-5, rtol=0)


def law_quantile_is_the_least_x(likelihood: pl.Likelihood, channels: int) -> None:
    h = parameters(likelihood, channels)
    u = torch.rand(200, channels, dtype=torch.float64)
    x = likelihood.quantile(u, h)
    if not isinstance(likelihood, pl.Discrete):
        torch.testing.assert_close(likelihood.cdf(x, h), u)
        return
    assert likelihood.support.check(x).all()
    assert (likelihood.cdf(x, h) >= u - 1e-12).all()
    for c in range(channels):
        less = x.clone()
        less[:, c] -= 1
        assert (likelihood.cdf(less, h)[:, c] < u[:, c]).all()


def law_parameters_stand_next_to_the_batch(likelihood: pl.Likelihood, channels: int) -> None:
    """Each row and site by its own parameters; one set for a batch is that set for each row; no rows give no rows; dtypes are kept."""
    for dtype in (torch.float32, torch.float64):
        h = parameters(likelihood, channels, 2, 3, dtype=dtype)
        x = likelihood.draw(h.expand(4, *h.shape[1:]))
        log_prob = likelihood.log_prob(x, h)
        assert x.shape == log_prob.shape == (4, channels, 2, 3) and x.dtype == log_prob.dtype == dtype
        torch.testing.assert_close(likelihood.log_prob(x, h.expand(4, *h.shape[1:])), log_prob)
        own = h + torch.randn(4, *h.shape[1:], dtype=dtype)
        torch.testing.assert_close(likelihood.log_prob(x[2:3], own[2:3]), likelihood.log_prob(x, own)[2:3])
        for i, j in itertools.product(range(2), range(3)):
            torch.testing.assert_close(likelihood.log_prob(x[..., i, j], h[..., i, j]), log_prob[..., i, j])
        assert likelihood.log_prob(x[:0], h).shape == likelihood.draw(h[:0]).shape == (0, channels, 2, 3)
        torch.testing.assert_close(likelihood.unscaled(likelihood.scaled(x)), x, atol=0, rtol=0)
        if isinstance(likelihood, pl.Discrete):
            assert likelihood.scaled(x).abs().max() < 1


@discrete
def test_probabilities_sum_to_one(name):
    law_probabilities_sum_to_one(*of(name))


@dense
def test_density_integrates_to_one(name):
    law_density_integrates_to_one(*of(name))


@likelihoods
@pytest.mark.parametrize(
    "law",
    [
        law_draws_agree_with_the_probabilities,
        law_finite_at_the_extremes,
        law_outside_of_the_support,
        law_cdf_is_the_cumulated_sum,
        law_quantile_is_the_least_x,
        law_parameters_stand_next_to_the_batch,
    ],
)
def test_law(law, name):
    law(*of(name))


class Faulty(pl.Categorical):
    """One fault of the kind that is named, everything else as it should be."""

    def __init__(self, fault: str):
        super().__init__(4)
        self.fault = fault

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        right = super().log_prob(x, h)
        if self.fault == "mass":
            return right + 1e-6
        if self.fault == "overflow":
            return (h.exp() / h.exp().sum(1, keepdim=True)).log().expand(len(x), -1, -1).gather(1, self._level(x).long()[:, None])[:, 0]
        if self.fault == "support":
            return super().log_prob(self._level(x), h)
        return right.mean(0, keepdim=True).expand_as(right) if self.fault == "axis" else right

    def draw(self, h: Tensor) -> Tensor:
        return super().draw(h if self.fault != "draw" else 1.1 * h)

    def cdf(self, x: Tensor, h: Tensor) -> Tensor:
        return super().cdf(x, h) if self.fault != "cdf" else super().cdf(x - 1, h)

    def quantile(self, u: Tensor, h: Tensor) -> Tensor:
        return super().quantile(u, h) if self.fault != "quantile" else (super().quantile(u, h) + 1).clamp(max=3)


class Wide(pl.Normal):
    """A density of mass 1.001."""

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        return super().log_prob(x, h) + 1e-3


@pytest.mark.parametrize(
    ("law", "likelihood"),
    [
        (law_probabilities_sum_to_one, Faulty("mass")),
        (law_density_integrates_to_one, Wide()),
        (law_draws_agree_with_the_probabilities, Faulty("draw")),
        (law_finite_at_the_extremes, Faulty("overflow")),
        (law_outside_of_the_support, Faulty("support")),
        (law_cdf_is_the_cumulated_sum, Faulty("cdf")),
        (law_quantile_is_the_least_x, Faulty("quantile")),
        (law_parameters_stand_next_to_the_batch, Faulty("axis")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_law_can_fail(law, likelihood):
    with pytest.raises(AssertionError):
        law(likelihood, 2)


# --- the discretized logistic mixture against its formula ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [-25.0, -7.0, -3.0, 0.0, 5.0, 25.0])
@pytest.mark.parametrize("mean", [0.0, -0.996, 1.0, 40.0, -1e4])
@pytest.mark.parametrize("levels", [1, 2, 256])
def test_discretized_sums_to_one_and_stays_finite(levels, mean, scale, dtype):
    """Scales far below a bin and far above all levels, means inside and far outside: finite log probabilities and gradients."""
    likelihood = pl.DiscretizedLogisticMixture(levels, 3, bound=30.0)
    torch.manual_seed(0)
    logits, means, scales = torch.randn(3, 1, 3, 1, dtype=dtype)
    h = torch.cat([logits, mean + 0.1 * means, 30 * math.atanh(scale / 30) + 0.1 * scales], 1).requires_grad_()
    log_prob = likelihood.log_prob(outcomes(likelihood, 1, dtype), h)
    assert log_prob.dtype == dtype and log_prob.isfinite().all()
    assert abs(log_prob.double().exp().sum().item() - 1) < (2e-5 if dtype == torch.float32 else 1e-10)  # of 256 float32 numbers
    (gradient,) = torch.autograd.grad(log_prob.mean(), h)
    assert gradient.isfinite().all()


def logistic_masses(levels: int, mean: Tensor, scale: Tensor) -> Tensor:
    """Of each level, by scipy's logistic functions; all mass beyond the ends goes to the ends."""
    edges = torch.linspace(-1, 1, levels + 1, dtype=torch.float64).view(-1, *(1 for _ in mean.shape))
    cdf = torch.from_numpy(stats.logistic.cdf(edges.numpy(), loc=mean.numpy(), scale=scale.exp().numpy()))
    cdf[0], cdf[-1] = 0.0, 1.0
    return cdf.diff(dim=0)


def test_discretized_is_the_difference_of_the_distribution_function():
    likelihood = pl.DiscretizedLogisticMixture(8, 3)
    h = parameters(likelihood, 1)
    logits, means, scales = h[0, :, 0].view(3, 3)
    expected = (logistic_masses(8, means, 7 * torch.tanh(scales / 7)) * logits.softmax(0)).sum(1)
    torch.testing.assert_close(likelihood.log_prob(outcomes(likelihood, 1), h)[:, 0].exp(), expected, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(likelihood.probabilities(h)[0, :, 0], expected, atol=1e-12, rtol=1e-10)


def test_ties_are_those_of_the_paper():
    """``P(r, g, b) = sum_k pi_k P_k(r) P_k(g | r) P_k(b | r, g)``: one choice for the pixel, means that move with the channels before."""
    likelihood = pl.DiscretizedLogisticMixture(5, 2, channels=3)
    h = parameters(likelihood, 3)
    logits, means, scales, ties = h[0].view(4, 2, 3)
    weights, scales = logits.sum(1).softmax(0), 7 * torch.tanh(scales / 7)
    table = torch.zeros(5, 5, 5, dtype=torch.float64)
    centre = (2 * torch.arange(5, dtype=torch.float64) + 1) / 5 - 1
    for k in range(2):
        a, b, c = ties[k].tanh()
        for r, g in itertools.product(range(5), range(5)):
            red = logistic_masses(5, means[k, 0], scales[k, 0])[r]
            green = logistic_masses(5, means[k, 1] + a * centre[r], scales[k, 1])[g]
            blue = logistic_masses(5, means[k, 2] + b * centre[r] + c * centre[g], scales[k, 2])
            table[r, g] += weights[k] * red * green * blue
    x = outcomes(likelihood, 3)
    torch.testing.assert_close(likelihood.log_prob(x, h).sum(1).exp(), table.flatten(), atol=1e-12, rtol=1e-10)
    blue = (table / table.sum(2, keepdim=True)).view(25, 5).repeat_interleave(5, 0)
    torch.testing.assert_close(likelihood.probabilities(h, x)[:, :, 2], blue, atol=1e-12, rtol=1e-10)


# --- who supplies the parameters ---


def net(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


def pixelcnn(likelihood: pl.Likelihood, *shape: int, context: int = 0) -> Causal:
    return Causal(likelihood, MaskedConvNet(shape, likelihood.params, width=6, depth=1, kernel=3, context=context), shape, context)


SUPPLIED: dict[str, Callable[[], Distribution]] = {
    "free": lambda: Free(pl.Categorical(3), (2, 2)),
    "given": lambda: Given(pl.Laplace(), net(2, 6), (3,), context=2),
    "given-image": lambda: Given(pl.DiscretizedLogisticMixture(4, 2, channels=2), nn.Conv2d(2, 16, 1), (2, 2, 3), context=(2, 2, 3)),
    "causal-made": lambda: Causal(pl.Bernoulli(), MADE(4, 1, width=16), (4,)),
    "causal-made-context": lambda: Causal(pl.Categorical(3), MADE(3, 3, width=16, context=2, order=[2, 0, 1]), (3,), context=2),
    "causal-transformer": lambda: Causal(pl.Normal(), CausalTransformer(3, 2, width=8, heads=2, context=2), (3,), context=2),
    "causal-image": lambda: pixelcnn(pl.Bernoulli(), 1, 2, 3),
    "causal-image-tied": lambda: pixelcnn(pl.DiscretizedLogisticMixture(2, 2, channels=2), 2, 2, 2),
    "causal-image-context": lambda: pixelcnn(pl.DiscretizedLogisticMixture(6, 2, channels=3), 3, 3, 4, context=2),
}
supplied = pytest.mark.parametrize("name", SUPPLIED)


def build(name: str) -> tuple[Distribution, Tensor | None]:
    """Perturbed, in float64, and three contexts if it takes any."""
    torch.manual_seed(sum(map(ord, name)))
    model = SUPPLIED[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, None if model.context_shape is None else torch.randn(3, *model.context_shape, dtype=torch.float64)


@supplied
def test_log_prob_of_draws(name):
    """It is what they came with; shapes are torch's; every parameter gets a gradient; no rows give no rows."""
    model, contexts = build(name)
    x, log_prob = model.sample_and_log_prob((4,), contexts)
    batch = () if contexts is None else (3,)
    assert x.shape == (4, *batch, *model.shape) and log_prob.shape == (4, *batch) and model.kind == "exact"
    rows = x.reshape(-1, *model.shape).detach()
    each = None if contexts is None else contexts.expand(4, *contexts.shape).flatten(0, 1)
    torch.testing.assert_close(model.log_prob(rows, each), log_prob.flatten(), atol=1e-8, rtol=1e-8)
    assert model.support.check(rows).all()
    model.log_prob(rows, each).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    assert model.log_prob(rows[:0], None if each is None else each[:0]).shape == (0,)
    assert model.sample((0,), contexts).shape == (0, *batch, *model.shape)


@pytest.mark.parametrize("name", ["causal-made", "causal-image", "causal-image-tied"])
def test_causal_probabilities_sum_to_one(name):
    """Over all 2^n outcomes."""
    model, _ = build(name)
    x = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * math.prod(model.shape)).view(-1, *model.shape)
    assert abs(model.log_prob(x).exp().sum().item() - 1) < 1e-10


def test_causal_draws_agree_with_the_probabilities():
    model, _ = build("causal-image-tied")
    torch.manual_seed(0)
    number = (model.sample((8_000,)).flatten(1) * 2.0 ** torch.arange(8, dtype=torch.float64)).sum(1)
    seen = torch.bincount(number.long(), minlength=256).double()
    x = (torch.arange(256).unsqueeze(1) // 2 ** torch.arange(8) % 2).double().view(-1, *model.shape)
    expected = 8_000 * model.log_prob(x).detach().exp()
    keep = expected > 5
    assert stats.chi2.sf(((seen - expected).square() / expected)[keep].sum().item(), int(keep.sum()) - 1) > 1e-3


@pytest.mark.parametrize("name", [name for name, make in SUPPLIED.items() if make().context_shape is not None])
def test_context_reaches(name):
    """The density of each row, and with equal noise what is drawn of real numbers; a missing one raises."""
    model, contexts = build(name)
    x = model.sample((), contexts)
    assert (model.log_prob(x, contexts) != model.log_prob(x, contexts + 1)).all()
    draws = []
    for shift in (0, 1):
        torch.manual_seed(0)
        draws.append(model.sample((), contexts + shift))
    if not isinstance(model.likelihood, pl.Discrete):
        assert (draws[0] != draws[1]).all()
    for missing in (lambda: model.log_prob(x), lambda: model.draw(3)):
        with pytest.raises(ValueError, match="context"):
            missing()


def test_a_net_of_zeros_stands_where_free_constants_start():
    for likelihood in (pl.DiscretizedLogisticMixture(16, 2), pl.Normal(), pl.Categorical(16)):
        x = torch.randint(0, 16, (5, 2)).float()
        zeros = nn.Linear(3, 2 * likelihood.params)
        nn.init.zeros_(zeros.weight), nn.init.zeros_(zeros.bias)
        given = Given(likelihood, zeros, (2,), context=3)
        causal = Causal(likelihood, MADE(2, likelihood.params, width=4), (2,))
        expected = Free(likelihood, (2,)).log_prob(x)
        torch.testing.assert_close(given.log_prob(x, torch.randn(5, 3)), expected)
        torch.testing.assert_close(causal.log_prob(x), expected)


def test_conditional_probabilities_and_one_graph():
    """The parameters of each pixel serve the likelihood's other questions; the model compiles to one graph."""
    model, contexts = build("given-image")
    x, log_prob = model.sample_and_log_prob((), contexts)
    everything = model.likelihood.probabilities(model.parameters_of(contexts), x)
    torch.testing.assert_close(everything.sum(1), torch.ones_like(x))
    chosen = everything.log().gather(1, x.long().unsqueeze(1)).flatten(1).sum(1)
    torch.testing.assert_close(chosen, log_prob)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x, contexts), log_prob)


def test_learns_the_shares_of_levels():
    """Maximum likelihood over six levels comes close to the entropy, the least there is."""
    torch.manual_seed(0)
    mixture = Free(pl.DiscretizedLogisticMixture(6, 6), (1,))
    shares = torch.tensor([0.3, 0.02, 0.08, 0.3, 0.1, 0.2])
    entropy = -(shares * shares.log()).sum().item()
    optimizer = torch.optim.Adam(mixture.parameters(), lr=0.1)
    for _ in range(150):
        loss = -(shares * mixture.log_prob(torch.arange(6.0).unsqueeze(1))).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert entropy - 1e-5 < loss.item() < entropy + 0.01


def tied() -> pl.DiscretizedLogisticMixture:
    return pl.DiscretizedLogisticMixture(4, 2, channels=3)


REFUSED = [
    (lambda: pl.DiscretizedLogisticMixture(0), "levels must be a whole number of at least 1"),
    (lambda: pl.Categorical(0), "levels must be a whole number of at least 1"),
    (lambda: pl.DiscretizedLogisticMixture(4, 0), "at least 1 component"),
    (lambda: pl.DiscretizedLogisticMixture(4, 2, 0), "1 channel, got 2 and 0"),
    (lambda: pl.DiscretizedLogisticMixture(bound=math.inf), r"DiscretizedLogisticMixture: bound must be in \(0, 30\]"),
    (lambda: pl.Normal(0.0), "Normal: bound must be"),
    (lambda: pl.Laplace(math.nan), "Laplace: bound must be"),
    (lambda: tied().log_prob(torch.zeros(1, 2), torch.zeros(1, 8, 2)), "expected 3 channels"),
    (lambda: tied().probabilities(torch.zeros(1, 8, 3)), "channels are tied; give x"),
    (lambda: Given(pl.Normal(), net(3, 4), (2,), context=0), "shape of one context"),
    (lambda: Given(pl.Normal(), net(3, 5), (2,), context=3).sample((), torch.zeros(1, 3)), r"gives \(1, 4\), got \(1, 5\)"),
    (lambda: Given(pl.Normal(), net(3, 4), (2,), context=3).log_prob(torch.zeros(1, 2)), "needs a context"),
    (lambda: Causal(pl.Normal(), MADE(2, 3), (2,)).log_prob(torch.zeros(1, 2)), r"gives \(1, 4\), got \(1, 6\)"),
]


@pytest.mark.parametrize("make, words", REFUSED, ids=[words for _, words in REFUSED])
def test_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()
