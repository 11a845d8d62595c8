"""What a Python user writes without reading: plain numbers, other people's arrays, questions that every distribution answers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import pushforward as pf
from pushforward import likelihoods
from pushforward.core import Distribution, Flow
from pushforward.distributions import Causal, Free, FromTorch, Given, Normal, StudentT, Uniform
from pushforward.nets import MADE
from pushforward.transforms import Cast, Dequantize, Elementwise, Standardize
from pushforward.univariate import Affine


def affine(sign: float = 1.0) -> Flow:
    """x = mean + std z, falling in z where the sign is -1."""
    return Flow(Normal((1,)), Standardize(1.5, sign * 2.0) if sign > 0 else Negated(), Standardize(0.0, 1.0)).double()


class Negated(pf.Transform):
    """z = (1.5 - x) / 2."""

    def forward(self, x, context=None):
        return (1.5 - x) / 2, x.new_full((len(x),), -math.log(2))

    def inverse(self, z, context=None):
        return 1.5 - 2 * z, z.new_full((len(z),), math.log(2))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_gaussian_flow_answers_as_the_gaussian_does(sign):
    given, expected = affine(sign).condition(), torch.distributions.Normal(torch.tensor([1.5], dtype=torch.float64), 2.0)
    x, q = torch.linspace(-6, 8, 9, dtype=torch.float64)[:, None], torch.linspace(0.01, 0.99, 7, dtype=torch.float64)
    torch.testing.assert_close(given.cdf(x), expected.cdf(x)[:, 0])
    torch.testing.assert_close(given.icdf(q), expected.icdf(q)[:, None])
    for got, right in ((given.mean, expected.mean), (given.variance, expected.variance), (given.entropy(), expected.entropy()[0])):
        torch.testing.assert_close(got.as_subclass(torch.Tensor), right, rtol=1e-9, atol=1e-9)
        assert float(got.stderr.max()) < 1e-9
    torch.testing.assert_close(given.stddev, torch.tensor([2.0], dtype=torch.float64), rtol=1e-9, atol=0)
    infinite = torch.tensor([[-math.inf], [math.inf]], dtype=torch.float64)
    assert given.cdf(infinite).tolist() == [0.0, 1.0]


def test_one_number_of_any_model_agrees_with_its_integrals():
    """Of a spline flow with a context: the distribution function is the integral of the density, and the moments are its own."""
    torch.manual_seed(0)
    flow = pf.models.nsf((1,), context=2, steps=2, width=16).double()
    with torch.no_grad():
        for p in flow.parameters():
            p.add_(0.1 * torch.randn_like(p))
    context = torch.randn(3, 2, dtype=torch.float64)
    given = flow.condition(context)
    x = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    density = given.log_prob(x[:, None, None].expand(-1, 3, 1)).exp().detach()  # (N, 3)
    cumulated, step = density.cumsum(0) * (x[1] - x[0]), x[1] - x[0]
    at = torch.tensor([11000, 12000, 13000])
    torch.testing.assert_close(given.cdf(x[at, None, None]).detach(), cumulated[at] - density[at] * step / 2, rtol=0, atol=1e-6)
    q = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(given.cdf(given.icdf(q)), q.expand(3))
    mean = (density * x[:, None]).sum(0) * step
    variance = (density * (x[:, None] - mean).square()).sum(0) * step
    entropy = -torch.xlogy(density, density).sum(0) * step
    for got, right in ((given.mean[:, 0], mean), (given.variance[:, 0], variance), (given.entropy(), entropy)):
        torch.testing.assert_close(torch.as_tensor(got).as_subclass(torch.Tensor), right, rtol=1e-4, atol=1e-4)
    assert float(given.mean.stderr.max()) < 1e-4


def test_many_numbers_are_averaged_over_draws():
    """The standard error covers what is off, and is of the size of what is off."""
    torch.manual_seed(0)
    flow = Flow(Normal((2,)), Standardize(torch.tensor([1.0, -1.0]), torch.tensor([1.0, 3.0])))
    given = flow.condition()
    right = {"mean": torch.tensor([1.0, -1.0]), "variance": torch.tensor([1.0, 9.0])}
    for name, value in right.items():
        got = getattr(given, name)
        assert ((got - value).abs() < 5 * got.stderr).all() and (got.stderr > 0).all() and (got.stderr < 0.05 * 9).all()
        assert "±" in repr(got) and type(got + 1) is torch.Tensor
    entropy = given.entropy()
    assert abs(float(entropy - (math.log(2 * math.pi * math.e) + math.log(3)))) < 5 * float(entropy.stderr)
    assert float(entropy.stderr) == pytest.approx(1 / math.sqrt(4096), rel=0.1)  # of |z|^2 / 2 in two dimensions


@pytest.mark.parametrize(
    "model",
    [
        Normal((1,)),
        Uniform((1,), -1.0, 3.0),
        FromTorch(torch.distributions.Laplace(torch.zeros(1), 1.0)),
        Free(likelihoods.Laplace(), (1,)),
        Given(likelihoods.Normal(), torch.nn.Linear(2, 2), (1,), context=2),
        Causal(likelihoods.Normal(), MADE(1, 2, width=8), (1,)),
        Flow(Normal((1,)), Standardize(0.5, 2.0), Cast(), Elementwise(Affine(), (1,))),
    ],
    ids=lambda model: type(model).__name__,
)
def test_quantiles_undo_the_distribution_function(model: Distribution):
    given = model.condition(None if model.context_shape is None else torch.randn(2))
    q = torch.linspace(0.05, 0.95, 7)
    x = given.icdf(q)
    assert x.shape == (7, 1) and given.cdf(x).shape == (7,)
    torch.testing.assert_close(given.cdf(x).float(), q)
    torch.manual_seed(0)
    draws = given.sample(4000).flatten()
    levels = given.cdf(draws[:, None]).detach().sort().values
    assert float((levels - torch.linspace(0, 1, 4000)).abs().max()) < 1.63 / math.sqrt(4000)  # Kolmogorov and Smirnov's, at 1 %
    assert abs(float(given.mean - draws.mean())) < 5 * float(draws.std()) / math.sqrt(4000)


def test_whole_numbers_are_summed():
    model = Free(likelihoods.Categorical(5), (1,))
    with torch.no_grad():
        model.h.copy_(torch.randn_like(model.h))
    given, p = model.condition(), model.likelihood.probabilities(model.h.detach()).flatten()
    levels = torch.arange(5.0)
    assert float(given.mean) == pytest.approx(float((p * levels).sum()), rel=1e-5)
    assert float(given.entropy()) == pytest.approx(float(-(p * p.log()).sum()), rel=1e-5)
    assert float(given.variance.stderr) == 0


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Normal((2,)).condition().cdf(torch.zeros(2)), "Normal: cdf is of one number, but an event has shape (2,); take draws"),
        (lambda: Normal((2,)).condition().icdf(torch.tensor(0.5)), "icdf is of one number"),
        (lambda: Normal((1,)).condition().icdf(torch.tensor(1.5)), "expected levels of quantiles in (0, 1), got 1.5"),
        (lambda: StudentT((1,)).condition().cdf(torch.zeros(1)), "StudentT: its distribution function is not known"),
        (lambda: Flow(Normal((1,)), Dequantize()).condition().cdf(torch.zeros(1)), "Flow: layers that are random"),
    ],
)
def test_what_is_not_known_is_said(ask, words):
    with pytest.raises(ValueError) as error:
        ask()
    assert words in str(error.value)


def test_without_quantiles_moments_come_from_draws():
    torch.manual_seed(0)
    mean = StudentT((1,), 10.0).condition().mean
    assert 0 < float(mean.stderr) < 0.1 and abs(float(mean)) < 5 * float(mean.stderr)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: pf.models.nsf((4,), mechanism="couplings"), "got 'couplings'; did you mean 'coupling'?"),
        (lambda: pf.models.nsf((4,), order="randm"), "got 'randm'; did you mean 'random'?"),
        (lambda: pf.models.nsf((4,), net="transfomer"), "got 'transfomer'; did you mean 'transformer'?"),
        (
            lambda: pf.models.planar((4,), direction="samples"),
            "got 'samples'; did you mean 'sampling'?",
        ),
        (lambda: pf.models.glow((1, 8, 8), levels=16, coupling="additiv"), "did you mean 'additive'?"),
        (lambda: pf.models.flow_pp((1, 8, 8), levels=16, dequantization="unform"), "did you mean 'uniform'?"),
        (lambda: pf.models.nsf((4,), steps=-1), "nsf: steps must be a whole number of at least 1, got -1"),
        (lambda: pf.models.nsf((4,), steps=10**9), "nsf: steps must be a whole number of at most 1,000,000, got 1000000000"),
        (lambda: pf.models.nsf((4,), spline="rq"), "nsf: spline must be 'rational_quadratic'"),
        (lambda: pf.models.nsf((4,), stps=3), "nsf() got an unexpected keyword argument 'stps'; did you mean 'steps'?"),
    ],
)
def test_options_of_recipes_name_the_nearest(build, words):
    with pytest.raises((ValueError, TypeError)) as error:
        build()
    assert words in str(error.value)


def test_a_number_of_features_is_a_shape():
    assert pf.models.nsf(2, steps=1).shape == pf.models.nsf((2,), steps=1).shape == (2,)


@pytest.mark.parametrize(("adapt", "package"), [(pf.as_pyro, "pyro"), (pf.as_sbi, "sbi")])
def test_adapters_say_how_to_install(adapt, package, monkeypatch):
    monkeypatch.setattr("pushforward.adapters.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=f"{package} is not installed; pip install 'pushforward\\[adapters\\]'"):
        adapt(pf.models.gaussian((2,), context=1))


def test_the_first_page_lists_what_users_look_for():
    names = set(dir(pf))
    assert {"models", "latent", "data", "likelihoods", "fit", "Flow"} <= names and not names & {
        "importlib",
        "Any",
        "TYPE_CHECKING",
        "annotations",
    }


def test_samples_are_others_at_each_call_and_contexts_may_be_frames(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "c": rng.normal(size=60), "k": rng.choice(["a", "b"], 60)})
    run = pf.fit(frame, "gaussian", context=["c", "k"], out=tmp_path / "run", options=["train.steps=2"], report=False, progress=False)
    assert repr(run).startswith(f"Run({str(tmp_path / 'run')!r}, gaussian of ") and repr(run).endswith(", trained)")
    given = pd.DataFrame({"c": [0.0, 1.0], "k": ["a", "b"]})
    forms = [given, pa.table(given.to_dict("list")), {"c": np.array([0.0, 1.0]), "k": given["k"]}, given.to_dict("records")]
    first, *others = [pf.sample(run, 3, context=form, seed=1) for form in forms]
    assert first.num_rows == 6 and all(other.equals(first) for other in others)
    assert pf.sample(run, 3, context={"c": np.float32(0), "k": "a"}).num_rows == 3
    assert not pf.sample(run, 3, context=given).equals(pf.sample(run, 3, context=given))
    for nothing in (None, {}, []):
        with pytest.raises(ValueError, match="this run needs a context for c"):
            pf.sample(run, 3, context=nothing)


def test_fit_says_where_a_flow_of_ones_own_is_trained():
    with pytest.raises(ValueError, match="expected the name of a model, got Flow; training"):
        pf.fit(np.zeros((30, 2)), pf.models.gaussian((2,)))


def test_a_time_limit_may_be_written_as_on_the_command_line():
    with pytest.raises(ValueError, match=r"expected a time such as 90s, 2m or 1h30m, got '2 minutes'"):
        pf.fit("moons", "maf", time_limit="2 minutes")
    rows = torch.randn(100, 2).double().numpy()
    run = pf.fit(rows, "maf", options=["model.steps=1", "train.steps=1"], time_limit="2m", report=False, progress=False)
    assert run.config["train"]["time_limit"] == 120.0
