"""Flows fitted to unnormalized densities by reverse KL, and importance sampling with them."""

from __future__ import annotations

import importlib.util
import math
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import pushforward.distributions as pd
import pushforward.transforms as pt
import pushforward.univariate as pu
from pushforward.core import Flow
from pushforward.evaluation import Importance, importance
from pushforward.models import iaf, real_nvp
from pushforward.objectives import ReverseKL
from pushforward.training import fit_density

COVARIANCE = torch.tensor([[1.0, 1.2], [1.2, 4.0]])
CENTRE = torch.tensor([1.0, -2.0])
LOG_Z = math.log(2 * math.pi) + 0.5 * float(torch.logdet(COVARIANCE)) + 5


def correlated(x: Tensor) -> Tensor:
    """An unnormalized Gaussian in the plane."""
    return -0.5 * ((x - CENTRE) @ torch.linalg.inv(COVARIANCE).to(x.dtype) * (x - CENTRE)).sum(1) + 5


def affine(dim: int = 2) -> Flow:
    return Flow(pd.Normal((dim,)), pt.Elementwise(pu.Affine(), (dim,)))


def small(**options) -> Flow:
    torch.manual_seed(0)
    return real_nvp((2,), steps=2, width=16, depth=1, **options)


QUICK = {"steps": 250, "lr": 1e-2, "samples": 16_384, "progress": False}


# --- the objective ---


def test_value_and_its_two_gradients():
    """At beta = 1 minus the value is the ELBO; both gradients are unbiased, and that of the path vanishes where q = p."""
    flow = affine().double()
    layer = flow.transform.transforms[0]
    with torch.no_grad():
        layer.h.normal_(0, 0.5)

    def gradients(path: bool, target, repeats: int = 100) -> tuple[Tensor, Tensor]:
        values, slopes = [], []
        for seed in range(repeats):
            torch.manual_seed(seed)
            values.append(ReverseKL(flow, target, 50, path)())
            slopes.append(torch.autograd.grad(values[-1], layer.h)[0].flatten())
        return torch.stack(values), torch.stack(slopes)

    values, total = gradients(False, correlated)
    again, path = gradients(True, correlated)
    torch.testing.assert_close(again, values, atol=1e-12, rtol=0)  # the same draws, the same value
    difference = total - path  # the score: mean zero
    assert (difference.mean(0).abs() <= 4 * difference.std(0) / math.sqrt(100)).all() and difference.std(0).max() > 1e-3
    shift, raw = layer.h.detach()[0]
    scale = (-5 * torch.tanh(raw / 5)).exp()
    mean = -shift * scale

    def itself(x: Tensor) -> Tensor:
        return torch.distributions.Normal(mean, scale).log_prob(x).sum(1)

    assert gradients(True, itself, 5)[1].abs().max() < 1e-12 < 1e-3 < gradients(False, itself, 5)[1].abs().max()


def test_the_target_is_not_trained():
    energy = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    flow = affine()
    objective = ReverseKL(flow, energy, 4)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in flow.parameters()}
    half, whole = (objective_value(objective, beta) for beta in (0.5, 1.0))
    zero = objective_value(objective, 0.0)
    torch.testing.assert_close(half, (zero + whole) / 2)


def objective_value(objective: ReverseKL, beta: float) -> Tensor:
    torch.manual_seed(0)
    return objective(beta=beta).detach()


# --- importance sampling ---


def test_importance_of_a_known_pair():
    """From N(0, I) towards N(1/2, I) / 7: log Z, the weighted mean and the effective size in closed form."""
    flow = affine(3).double()
    torch.manual_seed(0)
    found = importance(flow, lambda x: -0.5 * (x - 0.5).square().sum(1) - 1.5 * math.log(2 * math.pi) - math.log(7), 200_000)
    assert found.x.shape == (200_000, 3) and found.log_weight.shape == (200_000,)
    torch.testing.assert_close(found.log_weight.exp().sum(), torch.tensor(1.0, dtype=torch.float64))
    assert abs(found.log_z + math.log(7)) <= 4 * found.log_z_stderr and found.log_z_stderr < 0.01
    assert abs(found.elbo + math.log(7) + 0.375) < 0.01  # log Z - KL
    assert abs(found.ess - math.exp(-0.75)) < 0.02  # E[w]^2 / E[w^2]
    assert ((found.log_weight.exp()[:, None] * found.x).sum(0) - 0.5).abs().max() < 0.02


def test_standard_error_is_the_spread_of_repetitions():
    flow = affine(1).double()
    torch.manual_seed(0)
    runs = [importance(flow, lambda x: -0.5 * (x - 0.8).square().sum(1), 500) for _ in range(300)]
    spread = torch.stack([run.log_z for run in runs]).std()
    claimed = torch.stack([run.log_z_stderr for run in runs]).mean()
    assert abs(claimed / spread - 1) < 0.15


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.5, 0.9])
def test_pareto_k_finds_the_tail(k):
    """Weights drawn from a generalized Pareto distribution of shape k, twelve sets at once."""
    torch.manual_seed(0)
    u = torch.rand(20_000, 12, dtype=torch.float64)
    weight = torch.expm1(-k * u.log()) / k
    found = Importance(torch.zeros(20_000, 12, 1), weight.log() + 40)
    assert found.pareto_k.shape == (12,) and abs(found.pareto_k.mean() - k) < 0.1


def test_equal_weights():
    flow = affine()
    found = importance(flow, lambda x: flow.log_prob(x) + 2, 1000)
    assert abs(found.log_z - 2) < 1e-6 and abs(found.elbo - 2) < 1e-6 and abs(found.ess - 1) < 1e-6 and found.log_z_stderr < 1e-4
    assert found.pareto_k < 0.7


def test_draws_outside_the_support_weigh_nothing():
    flow = affine()
    torch.manual_seed(0)
    found = importance(flow, lambda x: torch.where(x[:, 0] > 0, flow.log_prob(x), -math.inf), 20_000)
    assert abs(found.log_z - math.log(0.5)) < 0.03 and abs(found.ess - 0.5) < 0.02 and found.elbo == -math.inf


# --- the fit ---


@pytest.mark.parametrize("path", [False, True])
def test_recovers_a_gaussian(path):
    flow = small()
    fit = fit_density(flow, correlated, path=path, **QUICK)
    assert abs(fit.log_z - LOG_Z) <= 0.05 and fit.ess > 0.9 and fit.log_z_stderr < 0.01
    assert fit.elbo <= fit.log_z and fit.log_z - fit.elbo < 0.05
    assert fit.stopped == "steps" and fit.steps == 250 and fit.skipped == 0 and not flow.training
    assert fit.history[0]["temperature"] == 30 and fit.history[-1]["temperature"] == 1
    assert fit.history[-1]["elbo"] > fit.history[0]["elbo"] + 1
    torch.manual_seed(0)
    x = flow.sample((20_000,))
    assert (x.mean(0) - CENTRE).abs().max() < 0.15 and (x.T.cov() - COVARIANCE).abs().max() < 0.4


def test_the_seed_decides_and_the_callers_random_state_stays():
    weights = []
    for noise in range(2):
        flow = small()
        torch.manual_seed(100 + noise)
        before = torch.get_rng_state()
        fit_density(flow, correlated, steps=20, samples=100, progress=False)
        assert torch.equal(torch.get_rng_state(), before)
        weights.append(nn.utils.parameters_to_vector(flow.parameters()))
    assert torch.equal(*weights)
    flow = small()
    fit_density(flow, correlated, steps=20, samples=100, seed=1, progress=False)
    assert not torch.equal(nn.utils.parameters_to_vector(flow.parameters()), weights[0])


def test_contexts():
    """One flow for three densities, each with its own estimate."""
    flow = small(context=1)
    c = torch.tensor([[-1.0], [0.0], [2.0]])

    def log_prob(x: Tensor, c: Tensor) -> Tensor:
        return -0.5 * (x - c).square().sum(1) + c[:, 0]

    fit = fit_density(flow, log_prob, context=c, steps=300, lr=1e-2, samples=4000, progress=False)
    assert fit.log_z.shape == fit.ess.shape == (3,)
    assert (fit.log_z - math.log(2 * math.pi) - c[:, 0]).abs().max() < 0.05
    found = importance(flow, log_prob, 100, c)
    assert found.x.shape == (100, 3, 2) and found.log_weight.shape == (100, 3) and found.pareto_k.shape == (3,)


def test_a_layer_onto_the_support():
    """A log-normal density on x > 0; without the layer each step meets draws of density zero, and that is said."""

    def log_prob(x: Tensor) -> Tensor:
        log_x = x.clamp_min(1e-30).log()
        return torch.where(x > 0, -0.5 * ((log_x - 0.5) / 0.8).square() - log_x, -math.inf).sum(1)

    flow = Flow(pd.Normal((1,)), pt.Elementwise(pu.Log()), pt.Elementwise(pu.Affine(), (1,)))
    fit = fit_density(flow, log_prob, **QUICK)
    assert abs(fit.log_z - math.log(0.8 * math.sqrt(2 * math.pi))) < 0.05 and fit.ess > 0.9
    with pytest.raises(FloatingPointError, match="support"):
        fit_density(affine(1), log_prob, **QUICK)


def test_a_step_that_is_not_finite_is_skipped():
    calls = 0

    def log_prob(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return correlated(x) + (math.nan if 30 < calls < 40 and len(x) == 64 else 0.0)

    fit = fit_density(small(), log_prob, batch=64, **QUICK)
    assert 5 <= fit.skipped <= 9 and abs(fit.log_z - LOG_Z) <= 0.05


@pytest.mark.filterwarnings("ignore:fit_density")  # of a small effective sample size: so early, it may be
def test_interrupted_or_out_of_time():
    """Ctrl-C and the clock end the training; what there is comes back."""
    calls = 0

    def log_prob(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 20:
            signal.raise_signal(signal.SIGINT)
        return correlated(x)

    fit = fit_density(small(), log_prob, samples=1000, progress=False)
    assert fit.stopped == "interrupted" and 10 < fit.steps < 25 and fit.log_z.isfinite()
    fit = fit_density(small(), correlated, steps=10**6, time_limit=0.5, samples=1000, progress=False)
    assert fit.stopped == "time limit" and 0.4 <= fit.seconds < 0.7 and fit.history[-1]["temperature"] == 1
    assert fit.history[-1]["lr"] < 1e-4, "the schedule ended in time"


def stopped_at(call: int):
    """The target, with Ctrl-C at one of its calls."""
    calls = 0

    def log_prob(x: Tensor, c: Tensor | None = None) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        return correlated(x if c is None else x - c)

    return log_prob


@pytest.mark.filterwarnings("ignore:fit_density")  # of a small effective sample size: the runs are short
@pytest.mark.parametrize("context", [0, 1])
def test_stopped_and_resumed(tmp_path, context):
    """Again and again, in the annealing and behind it: weights, optimizer, looks and estimates of a run left alone, to the bit."""
    given = torch.tensor([[0.0], [1.0], [2.0]]) if context else None
    options = {"steps": 60, "lr": 1e-2, "samples": 1000, "batch": 32, "context": given, "progress": False}
    whole = fit_density(small(context=context), stopped_at(-1), run=tmp_path / "whole", **options)
    for call, steps in ((9, 4), (30, 19), (51, 44)):
        flow = small(context=context)
        torch.manual_seed(call)  # nothing may depend on the caller's random state
        part = fit_density(flow, stopped_at(call), run=tmp_path / "parts", resume=True, **options)
        assert part.stopped == "interrupted" and abs(part.steps - steps) < 3
    rest = fit_density(flow, stopped_at(-1), run=tmp_path / "parts", resume=True, **options)
    assert rest.stopped == whole.stopped == "steps" and rest.steps == 60 and torch.equal(rest.log_z, whole.log_z)
    for file in ("model.safetensors", "state/last.safetensors"):
        one, two = (load_file(tmp_path / run / file) for run in ("whole", "parts"))
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one), file
    looks = [[{k: v for k, v in look.items() if k not in ("seconds", "rows_per_second")} for look in fit.history] for fit in (whole, rest)]
    assert looks[0] == looks[1] and len(looks[0]) == 61
    with pytest.raises(ValueError, match="not empty; resume=True goes on"):
        fit_density(flow, correlated, run=tmp_path / "parts", **options)


def test_a_density_that_cannot_be_copied():
    """A method of something with results of a calculation in it: the averaged objective shares it."""

    class Posterior:
        def __init__(self):
            self.scale = nn.Parameter(torch.ones(2)) * 2

        def log_prob(self, x: Tensor) -> Tensor:
            return -(x / self.scale.detach()).square().sum(1)

    assert fit_density(affine(), Posterior().log_prob, steps=5, samples=100, progress=False).log_z.isfinite()


@pytest.mark.filterwarnings("default")
def test_few_effective_draws_are_said():
    with pytest.warns(UserWarning, match="effective sample size is .* of 1,000 draws"):
        fit = fit_density(affine(), lambda x: -50 * (x - 3).square().sum(1), steps=1, samples=1000, progress=False)
    assert fit.ess < 0.01


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: fit_density(affine(), lambda x: -x.square()), r"one number per row, \(256,\)"),
        (lambda: fit_density(affine(), lambda x: 1.0), "got float"),
        (lambda: fit_density(affine(), lambda x: x.sum(1) * math.inf), "not finite at any"),
        (lambda: fit_density(affine(), lambda x: -x.detach().square().sum(1)), "differentiable"),
        (lambda: fit_density(Flow(pd.Normal((2,)), pt.Dequantize()), correlated), "bound"),
        (lambda: fit_density(Flow(pd.Normal((2,))), correlated), "parameters"),
        (lambda: fit_density(small(context=3), lambda x, c: correlated(x)), r"contexts \(K, 3\)"),
        (lambda: fit_density(affine(), correlated, steps=0), "steps > 0"),
        (lambda: fit_density(affine(), correlated, time_limit=math.nan), "time_limit > 0"),
        (lambda: fit_density(affine(), correlated, anneal=0.5), "anneal >= 1"),
        (lambda: importance(Flow(pd.Normal((2,)), pt.Dequantize()), correlated), "bound"),
        (lambda: importance(affine(), correlated, 1), "2 draws"),
        (lambda: importance(affine(), lambda x: x.sum(1) * math.nan, 8), "NaN"),
        (lambda: ReverseKL(Flow(pd.Normal((2,)), pt.Dequantize()), correlated), "bound"),
        (lambda: ReverseKL(affine(), correlated, 0), "rows >= 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- what must be shown: defaults, on the targets of the example ---


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parent.parent / "examples" / "reverse_kl.py"
    spec = importlib.util.spec_from_file_location("reverse_kl", path)
    module = sys.modules["reverse_kl"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["reverse_kl"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["real_nvp", "nsf (coupling)", "iaf"])
@pytest.mark.parametrize("target", ["eight Gaussians", "Gaussian, D=32"])
def test_log_normalizer_with_defaults(example, model, target):
    flow, fit = example.run(model, target)
    print(example.row(model, target, flow, fit))
    assert abs(fit.log_z - example.TARGETS[target].log_z) <= 0.05
    assert fit.ess > 0.2 and fit.elbo < fit.log_z
    if target == "eight Gaussians":
        torch.manual_seed(0)
        assert example.shares(flow).min() > 0.06  # of 0.125


@pytest.mark.slow
def test_annealing_finds_the_second_mode():
    """Two modes 20 widths apart hold 0.3 and 0.7. Without annealing one is found, the share of it is log Z, and no diagnostic tells."""
    centres, share = torch.tensor([[6.0, 0.0], [-3.0, 4.0]]), torch.tensor([0.3, 0.7])

    def log_prob(x: Tensor) -> Tensor:
        return (share.log() - (x[:, None] - centres).square().sum(2) / 0.5).logsumexp(1) - math.log(0.5 * math.pi)

    found = {}
    for anneal in (1.0, 30.0):
        torch.manual_seed(0)
        found[anneal] = fit_density(iaf((2,)), log_prob, steps=1000, anneal=anneal, progress=False)
    assert min(abs(found[1.0].log_z - part) for part in share.log()) < 0.02 and found[1.0].ess > 0.95 and found[1.0].pareto_k < 0.7
    assert abs(found[30.0].log_z) <= 0.05


def test_example_draws(example, tmp_path):
    example.draw({"iaf": iaf((2,), width=8)}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
