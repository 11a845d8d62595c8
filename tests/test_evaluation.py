"""Scores, baselines and two-sample tests, against known answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from mixed import mixed_data, started

from pushforward.baselines import baselines, gaussian_mixture, independent, linear_experts, linear_gaussian
from pushforward.core import Distribution, Flow
from pushforward.data import Rows, load
from pushforward.distributions import Normal
from pushforward.evaluation import Results, Score, TwoSample, c2st, evaluate, log_likelihood, summarize, verdict
from pushforward.questions import Exact
from pushforward.training import DensityFit, History
from pushforward.transforms import Cast, Coupling, Dequantize, Elementwise, Standardize
from pushforward.univariate import Additive, Affine

REAL = Path(__file__).parents[2] / "shared" / "data" / "uci"


def score(name: str, nats: float, stderr: float = 0.01, **more) -> Score:
    return Score(name, nats, stderr, "exact", 1, 1000, **more)


def rows(n: int, dim: int = 3, seed: int = 0) -> Rows:
    return Rows(torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


class Box(Distribution):
    """Uniform on the unit cube."""

    def log_prob(self, x, context=None):
        return torch.where(((x >= 0) & (x <= 1)).flatten(1).all(1), 0.0, -math.inf)

    def draw(self, n, context=None):
        x = torch.rand(n, *self.shape)
        return x, self.log_prob(x)


class Noisy(Elementwise):
    """An unbiased estimate: the identity with noise of deviation 1 in its ldj."""

    estimate = True

    def forward(self, x, context=None):
        z, ldj = super().forward(x, context)
        return z, ldj + torch.randn_like(ldj)


def test_mean_error_and_standardized():
    """A Gaussian in data units: the figure is the mean of its density, the error that of the mean."""
    data = load(torch.randn(400, 2).numpy() * [3.0, 0.5] + [7.0, 1e6], seed=1)
    flow = Flow(Normal((2,))).prepend(*data.schema.layers(), shape=(2,))
    result = evaluate(flow, data.test, schema=data.schema, batch=7)
    assert evaluate(flow, data.test, schema=data.schema).nats == pytest.approx(result.nats, abs=1e-6)
    x = data.test.x
    truth = torch.distributions.Normal(data.train.x.mean(0), data.train.x.std(0, correction=0)).log_prob(x).sum(1)
    assert result.nats == pytest.approx(truth.mean().item(), abs=1e-5)
    assert result.stderr == pytest.approx(truth.std(correction=0).item() / math.sqrt(len(x)), rel=1e-4)
    assert result.standardized == pytest.approx(result.nats + data.train.x.std(0, correction=0).log().sum().item(), abs=1e-6)
    assert (result.kind, result.words(), result.rows, result.bits_per_dim) == ("exact", "exact", 40, None)


def test_weights():
    flow, data = Flow(Normal((3,))), rows(100)
    weight = torch.arange(100).double()
    values = log_likelihood(flow, data)
    result = evaluate(flow, Rows(data.x, weight=weight))
    assert result.nats == pytest.approx(((weight * values).sum() / weight.sum()).item(), rel=1e-6)
    assert evaluate(flow, Rows(data.x, weight=torch.ones(100))).stderr == pytest.approx(evaluate(flow, data).stderr, rel=1e-6)


def test_impossible_rows_are_counted():
    x = torch.tensor([[0.5], [0.2], [1.5], [-3.0]])
    result = evaluate(Box((1,)), Rows(x))
    assert result.nats == -math.inf and result.impossible == 2 and result.possible_nats == 0.0
    assert "2 of 4 rows have density zero" in result.words()
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["nats"] is None
    everything = evaluate(Box((1,)), Rows(x[2:]))
    assert everything.impossible == 2 and everything.possible_nats is None


@pytest.mark.parametrize(("samples", "words"), [(1, "K=1 sample"), (16, "K=16 samples")])
def test_bound_says_so(samples, words):
    flow = Flow(Normal((2,)), Dequantize(), Standardize(5.0, 3.0), Cast())
    assert (
        evaluate(flow, Rows(torch.randint(10, (50, 2)).double()), samples=samples).words()
        == f"lower bound, {words}; uniform dequantization"
    )


def test_samples_tighten_a_bound_and_steady_an_estimate():
    """Two bins of a narrow Gaussian: K=1 is far below the probability of the integer, K=64 close to it."""
    flow = Flow(Normal((1,)), Dequantize(), Standardize(1.0, 0.3), Cast())
    x = torch.tensor([[0.0], [1.0]]).double().repeat(500, 1)
    truth = math.log(
        torch.distributions.Normal(1.0, 0.3).cdf(torch.tensor(1.0)) - torch.distributions.Normal(1.0, 0.3).cdf(torch.tensor(0.0))
    )
    one, many = (evaluate(flow, Rows(x), samples=k).nats for k in (1, 64))
    assert one < truth - 0.2 and truth - 0.1 < many < truth + 0.02
    noisy = Flow(Normal((1,)), Noisy(Affine()))
    assert evaluate(noisy, rows(50, 1)).words() == "unbiased estimate, K=1 sample"
    exact = log_likelihood(Flow(Normal((1,))), rows(50, 1))
    spread = [(log_likelihood(noisy, rows(50, 1), samples=k) - exact).std().item() for k in (1, 100)]
    assert spread[0] > 0.7 and spread[1] < 0.2


def test_bits_per_dimension():
    """Uniform integers 0..255 under a density that is flat where they are: 8 bits each."""
    data = load(np.random.default_rng(0).integers(0, 256, (400, 3)))
    result = evaluate(Flow(Box((3,)), Dequantize(), Standardize(0.0, 256.0), Cast()), data.test, schema=data.schema)
    assert result.bits_per_dim == pytest.approx(8) and result.nats == pytest.approx(-3 * math.log(256)) and result.standardized is None


def test_leaves_no_trace():
    """Mode, random state and gradients are as before; equal seeds give equal figures."""
    flow = Flow(Normal((2,)), Dequantize(), Standardize(0.0, 3.0), Cast()).train()
    data = Rows(torch.randint(5, (30, 2)).double())
    state = torch.get_rng_state()
    first = evaluate(flow, data)
    assert flow.training and torch.equal(state, torch.get_rng_state())
    assert first == evaluate(flow, data) != evaluate(flow, data, seed=1)


def test_no_rows():
    with pytest.raises(ValueError, match="at least one row"):
        evaluate(Flow(Normal((3,))), rows(0))


VERDICTS = [
    ([score("nsf", 2.0), score("Gaussian", 1.0)], "nsf is best: 1.000 nats per row above the best baseline (Gaussian)"),
    ([score("nsf", 1.0), score("Gaussian", 0.0), score("mixture", 2.0)], "A simpler model wins: the mixture is 1.000 nats"),
    ([score("nsf", 1.01), score("Gaussian", 1.0)], "a tie"),
    ([score("nsf", 1.0), score("Gaussian", 1.01)], "not better than a simpler model"),
    ([score("nsf", -math.inf, impossible=3), score("Gaussian", 1.0)], "density zero to 3 rows; the Gaussian does not: the baseline wins"),
    ([score("nsf", -math.inf, impossible=3), score("Gaussian", -math.inf, impossible=3)], "none of them can be compared"),
    ([score("nsf", 1.0)], "nothing to compare"),
]


@pytest.mark.parametrize(("scores", "expected"), VERDICTS)
def test_verdict(scores, expected):
    assert expected in verdict(scores)


def test_verdict_compares_row_by_row():
    """Errors of the means are large, but one model is better on every row."""
    hard = np.random.default_rng(0).normal(0, 10, 1000)
    scores = [score(n, float(v.mean()), 10 / math.sqrt(1000), per_row=v) for n, v in [("nsf", hard + 0.1), ("Gaussian", hard)]]
    assert "nsf is best: 0.100" in verdict(scores)


def test_baselines_know_the_truth():
    """Data of each baseline's own kind: it comes near the entropy, in the data's units, and beats the others or equals them."""
    rng = np.random.default_rng(0)
    a = np.array([[2.0, 0, 0], [1.9, 0.3, 0], [0, 0.5, 10]])
    entropy = 1.5 * math.log(2 * math.pi * math.e) + math.log(abs(np.linalg.det(a)))
    scores = {s.name: s for s in run(rng.normal(size=(8000, 3)) @ a.T + 100)}
    assert scores["Gaussian"].nats == pytest.approx(-entropy, abs=0.1)
    assert scores["Gaussian"].nats > scores["independent columns"].nats + 1
    centres = rng.integers(0, 2, (8000, 1)) * 20.0
    mixture, gaussian, columns = run(rng.normal(size=(8000, 2)) + centres)
    assert mixture.name.startswith("Gaussian mixture") and "1 component" not in mixture.name
    assert mixture.nats == pytest.approx(-math.log(2 * math.pi * math.e) - math.log(2), abs=0.1)
    assert mixture.nats > max(gaussian.nats, columns.nats) + 0.3
    scores = {s.name: s for s in run(rng.uniform(0, 5, (8000, 2)))}
    assert scores["independent columns"].nats == pytest.approx(-2 * math.log(5), abs=0.05)
    assert scores["independent columns"].nats > scores["Gaussian"].nats


def run(x: np.ndarray, **options) -> list[Score]:
    data = load(x, **options)
    return baselines(data, data.schema.layers())


def test_baselines_of_integers_are_bounds():
    data = load(np.random.default_rng(0).integers(0, 100, (4000, 2)))
    scores = {s.name: s for s in baselines(data, data.schema.layers(), samples=4)}
    assert all(s.words() == "lower bound, K=4 samples" for s in scores.values())
    assert scores["independent columns"].bits_per_dim == pytest.approx(math.log2(100), abs=0.1)


def test_baselines_with_context_say_so():
    data = load("wine", context=["class"])
    scores = baselines(data, data.schema.layers())
    assert all(("ignores the context" in s.name or "given the context" in s.name) and math.isfinite(s.nats) for s in scores)


def test_baselines_take_weights():
    """Half of the rows have no weight: the Gaussian sits on the others."""
    x = np.concatenate([np.random.default_rng(0).normal(0, 1, (2000, 1)), np.random.default_rng(1).normal(50, 1, (2000, 1))])
    table = np.column_stack([x, x < 25])
    data = load(pa.table({"x": table[:, 0], "w": table[:, 1]}), weight="w")
    gaussian = next(s for s in baselines(data, data.schema.layers()) if s.name == "Gaussian")
    assert gaussian.nats == pytest.approx(-0.5 * math.log(2 * math.pi * math.e), abs=0.15)


def test_marginals_are_a_density():
    rng = np.random.default_rng(0)
    train = np.concatenate([rng.normal(size=3000), rng.normal(5, 0.1, 1000), np.full(200, 2.0), [40.0]])[:, None]
    _, density = independent(train, train[::7])
    grid = np.linspace(-200, 250, 2_000_001)
    assert np.exp(density(grid[:, None])).sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-3)


def test_large_tables_are_subsampled_and_say_so():
    x = np.random.default_rng(0).normal(size=(50_000, 40))
    name, density = gaussian_mixture(x, x[:500])
    assert name == "Gaussian mixture, 1 component (fitted to 10,000 of 50,000 rows)" and len(density(x[:7])) == 7


def test_c2st_on_equal_and_on_different_distributions():
    same = c2st(Flow(Normal((3,))), rows(2000))
    assert abs(same.accuracy - 0.5) < 4 * same.stderr and "chance" in same.words() and float(same) == same.accuracy
    off = Rows(rows(2000).x * torch.tensor([1.0, 1.0, 2.0]))
    assert c2st(Flow(Normal((3,))), off).accuracy > 0.6
    assert c2st(Flow(Normal((3,))), off, limit=300).rows == 300


def test_c2st_finds_dependence():
    """Right marginals, no correlation: only the joint gives the model away."""
    z = rows(3000, 2).x
    x = torch.stack([z[:, 0], 0.8 * z[:, 0] + 0.6 * z[:, 1]], 1)
    assert c2st(Flow(Normal((2,))), Rows(x)).accuracy > 0.6


def test_c2st_with_context():
    """Samples at the rows' own contexts: a model that uses them passes, without falling below chance; one that ignores them fails."""
    context = torch.randn(2000, 1, dtype=torch.float64)
    x = 2 * context + torch.randn(2000, 1, dtype=torch.float64)
    weight = torch.nn.Linear(1, 1, bias=False)
    flow = Flow(Normal((1,)), Coupling([0], Additive(), weight), context=1)
    results = []
    for slope in (-2.0, 0.0):
        torch.nn.init.constant_(weight.weight, slope)
        results.append(c2st(flow, Rows(x, context)))
    good, bad = results
    assert abs(good.accuracy - 0.5) < 4 * good.stderr and bad.accuracy > 0.7


def test_c2st_compares_integers_as_integers():
    flow = Flow(Normal((1,)), Dequantize(), Standardize(0.0, 10.0), Cast())
    x = (torch.randn(2000, 1, dtype=torch.float64) * 10).floor()
    result = c2st(flow, Rows(x))
    assert abs(result.accuracy - 0.5) < 4 * result.stderr


def test_samples_at_infinity_are_told_apart_too():
    """They are the largest, which is all that trees ask."""
    flow = Flow(Normal((1,)), Standardize(0.0, 1.7e308)).double()
    assert not flow.sample((100,)).isfinite().all()
    assert c2st(flow, Rows(torch.randn(100, 1, dtype=torch.float64))).accuracy > 0.9


def test_weights_of_nothing():
    rows = Rows(torch.randn(5, 1), weight=torch.zeros(5))
    with pytest.raises(ValueError, match="nor all zero"):
        evaluate(Flow(Normal((1,))), rows)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gaussian", "mixture"), [("kin40k", -12.751, -11.236), ("protein", -5.309, 1.788)])
def test_reference_figures(name, gaussian, mixture):
    path = REAL / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    data = load(path)
    scores = {s.name: s for s in baselines(data, data.schema.layers())}
    assert scores["Gaussian"].standardized == pytest.approx(gaussian, abs=2e-3)
    assert scores["Gaussian mixture, 50 components"].standardized > mixture - 0.03


def test_results_come_back_from_their_file():
    """What JSON has not (infinities, NaN) and what a run leaves out, included; unknown keys are passed over."""
    impossible = summarize("b", np.array([1.0, -np.inf]))
    scores = [summarize("a", np.array([1.0, 2.0, 4.0]), kind="bound", samples=3), impossible]
    for told, more in ((TwoSample(0.5, 0.01, 100), {}), (None, {"distillation": {"student": "iaf"}})):
        kept = Results(scores, "a is best", -1.5, told, [-1e300, 0.0], **more)
        found = json.loads(json.dumps(kept.to_json()))
        assert list(found) == ["scores", "verdict", "entropy", "c2st", "quantiles", "calibration", *more]
        found["scores"][0]["of another version"] = 1
        back = Results.from_json(found)
        assert back.scores[0] == scores[0] and back.c2st == told and back.to_json() == kept.to_json()
        assert back.scores[1].nats == -math.inf and math.isnan(back.scores[1].stderr) and back.scores[1].words() == impossible.words()


def test_fits_say_what_they_are_and_when_not_to_trust_them():
    """One line each, without the records; a heavy tail of the weights is said."""
    estimates = {"log_z": torch.tensor(1.5), "log_z_stderr": torch.tensor(0.1), "elbo": torch.tensor(1.4), "ess": torch.tensor(0.9)}
    course = {"stopped": "steps", "steps": 1200, "skipped": 0, "seconds": 9.0}
    good = repr(DensityFit(**estimates, pareto_k=torch.tensor(0.2), **course))
    assert good == "DensityFit(log_z=1.5, log_z_stderr=0.1, elbo=1.4, ess=0.9, pareto_k=0.2; 1,200 steps in 9 s, ended by: steps)"
    for k in (torch.tensor(2.0), torch.tensor(math.nan), torch.tensor([0.1, 2.0])):
        assert "don't trust them: Pareto k is" in repr(DensityFit(**estimates, pareto_k=k, **course))
    history = History(1200, -1.5, 1000, "patience", 9.0, 0, 3, [{"step": i} for i in range(500)])
    assert (
        repr(history)
        == "History(1,200 steps in 9 s, ended by: patience; best of 500 validations: -1.5 at step 1,000, 3 steps skipped, 0 rolled back)"
    )
    assert "never finite" in repr(History(2, None, 0, "steps", 1.0, 0, 0))


def conditional(n=6000, branches=1, seed=0):
    """y in two columns around ``+-(2c, c - d)``, noise 0.3 and 0.5, given a number c and a word that shifts it by d."""
    rng = np.random.default_rng(seed)
    c, word = rng.normal(size=n), rng.integers(0, 2, n)
    middle = np.stack([2 * c, c - word], 1) * (rng.choice([-1, 1], n) if branches == 2 else np.ones(n))[:, None]
    y = middle + rng.normal(size=(n, 2)) * [0.3, 0.5]
    return load(pa.table({"a": y[:, 0], "b": y[:, 1], "c": c, "word": np.array(["x", "y"])[word]}), context=["c", "word"])


def test_conditional_runs_are_judged_beside_conditional_baselines():
    """Known entropies: a linear Gaussian reaches its own, and experts that of two branches, which no single one can."""
    best = -math.log(2 * math.pi * math.e) - math.log(0.3 * 0.5)  # minus the entropy given the context
    data = conditional()
    scores = {score.name: score for score in baselines(data, data.schema.layers())}
    linear = scores["linear Gaussian given the context"]
    assert abs(linear.nats - best) < 3 * linear.stderr
    plain = max(score.nats for name, score in scores.items() if "ignores the context" in name)
    assert len(scores) == 5 and plain < best - 0.7
    experts = next(score for name, score in scores.items() if name.startswith("mixture of"))
    assert experts.nats > best - 0.1 and "Gaussian mixture, " in "".join(scores)
    told = verdict([summarize("flow", np.full(len(data.test), best - 9)), *scores.values()])
    assert "given the context" in told and "use the" not in told, "no command fits such a baseline"
    forked = conditional(branches=2)
    scores = {score.name: score for score in baselines(forked, forked.schema.layers())}
    experts = next(score for name, score in scores.items() if name.startswith("mixture of"))
    assert experts.nats > best - math.log(2) - 0.1 and scores["linear Gaussian given the context"].nats < best - 1.2


def test_experts_are_a_density_of_the_values():
    """``p(x | c)`` integrates to 1 over x, for contexts with words too, whose one-hot columns have no density of their own."""
    data = conditional(2000, 2)
    c = torch.cat([data.train.context]).double()
    features = data.schema.embed()(c).double().numpy()
    rows = np.hstack([features, data.train.x[:, :1].numpy()])
    for fit in (linear_experts, linear_gaussian):
        _, density = fit(rows, rows[:200], features.shape[1])
        x = np.linspace(-40, 40, 4001)
        for one in features[:5]:
            mass = np.exp(density(np.hstack([np.tile(one, (len(x), 1)), x[:, None]]))).sum() * (x[1] - x[0])
            assert mass == pytest.approx(1, abs=1e-6)


def test_ridge_holds_where_the_context_is_wide():
    """More features than rows: the regression is still solvable, and no worse than the mean."""
    rng = np.random.default_rng(0)
    rows = np.hstack([rng.normal(size=(60, 80)), rng.normal(size=(60, 1))])
    _, density = linear_gaussian(rows[:40], rows[40:], 80)
    assert density(rows[40:]).mean() > -3


def test_discrete_and_continuous_columns_apart():
    """Where a model tells columns apart: bits are those of the probabilities, and weights and impossible rows count as for the whole."""
    data = mixed_data()
    flow, rows = started(data), data.test
    found = evaluate(flow, rows, schema=data.schema)
    whole = torch.tensor([column.discrete for column in data.schema.columns])
    none = torch.zeros(rows.x.shape, dtype=torch.bool)
    terms = Exact(flow).terms(rows.x, none, ~none).mean(0)
    discrete, continuous = found.discrete_nats, found.continuous_nats
    assert found.nats == pytest.approx(log_likelihood(flow, rows).mean().item(), abs=1e-9)
    assert discrete == pytest.approx(terms[whole].sum().item()) and continuous == pytest.approx(terms[~whole].sum().item())
    assert f"discrete columns {discrete:.3f} ({-discrete / math.log(2):.3f} bits), continuous ones {continuous:.3f}" in found.words()
    kept = Results.from_json(json.loads(json.dumps(Results([found], "", quantiles=[0.0, 1.0]).to_json()))).scores[0]
    assert kept.discrete_nats == discrete and kept.words() == found.words()
    weight = torch.zeros(len(rows)).double()
    weight[0] = 1.0
    one = evaluate(flow, Rows(rows.x, None, weight), schema=data.schema)
    assert one.discrete_nats + one.continuous_nats == pytest.approx(one.nats)
    lost = rows.x.clone()
    lost[0, data.schema.names.index("member")] = 7
    some = evaluate(flow, Rows(lost), schema=data.schema)
    assert some.impossible == 1 and some.discrete_nats + some.continuous_nats == pytest.approx(some.possible_nats)
    words = mixed_data(columns=["word", "half <b>"])
    assert evaluate(started(words), words.test, schema=words.schema).discrete_nats is None, "there is nothing else"
