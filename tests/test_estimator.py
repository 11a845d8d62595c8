"""FlowDensity keeps scikit-learn's promises, and is a density in the data's own units."""

from __future__ import annotations

import inspect
import pickle
import sys
import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import pushforward as pf
from pushforward import FlowDensity
from pushforward.training.schedule import Plan

TINY = {"model": "nsf", "options": {"steps": 1, "width": 4, "bins": 2}, "steps": 3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_check_estimator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        outcomes = check_estimator(FlowDensity(**TINY), on_fail=None)
    failed = {o["check_name"]: o["exception"] for o in outcomes if o["status"] not in ("passed", "skipped")}
    assert not failed, failed
    assert sum(o["status"] == "passed" for o in outcomes) > 30


def test_density_of_a_gaussian():
    """In the units of X, whatever they are: scores near the true density's, samples with its moments."""
    mean, std = np.array([1e5, -3e-4]), np.array([2e3, 1e-5])
    X = mean + std * np.random.default_rng(0).normal(size=(4000, 2))
    density = FlowDensity("gaussian", steps=600, lr=1e-2, random_state=0).fit(X)
    truth = norm(mean, std).logpdf(X).sum(1)
    assert density.score(X) == pytest.approx(truth.mean(), abs=0.02)
    np.testing.assert_allclose(density.score_samples(X), truth, atol=0.5, rtol=0.1)
    draws = density.sample(4000, random_state=1)
    np.testing.assert_allclose((draws.mean(0) - mean) / std, 0, atol=0.1)
    np.testing.assert_allclose(draws.std(0) / std, 1, atol=0.1)


@pytest.mark.parametrize("rows", [300, 1500])
def test_its_defaults_are_those_of_fit(monkeypatch, rows):
    """The model, its options and the course of training that ``fit`` chooses for the same table: one answer, whichever door."""
    chosen = []
    room = sys.modules["pushforward.training.fit"]
    optimize = room.optimize

    def spy(flow, objective, batches, validate, processes, plan, **options):
        layers = repr(flow.transform.transforms).partition("Cast")[2]  # behind the preprocessing
        chosen.append((layers, plan.steps, options["lr"], options["patience"]))
        plan = Plan(2, 2, 1, 0, 0)
        return optimize(flow, objective, batches, validate, processes, plan, **options)

    monkeypatch.setattr(room, "optimize", spy)
    X = np.random.default_rng(0).normal(size=(rows, 3))
    FlowDensity(random_state=0, validation_fraction=0.2).fit(X)  # fit has 0.1 for each of validation and test
    pf.fit(X, report=False, progress=False)
    assert chosen[0] == chosen[1] and chosen[0][1:3] == (2000, 1e-3)


def test_the_rate_of_a_given_model_is_that_of_fit(monkeypatch):
    found = []
    monkeypatch.setattr(sys.modules["pushforward.training.fit"], "optimize", lambda *pair, lr, **options: found.append(lr))
    for lr in (None, 1e-4):
        FlowDensity("maf", lr=lr).fit(np.random.default_rng(0).normal(size=(40, 2)))
    assert found == [inspect.signature(pf.training.fit).parameters["lr"].default, 1e-4]


def test_randomness_is_the_callers():
    X = np.random.default_rng(0).normal(size=(60, 2))
    first, second = (FlowDensity(**TINY, random_state=3).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    np.testing.assert_array_equal(first.sample(4, random_state=1), second.sample(4, random_state=1))
    assert not np.array_equal(first.sample(4, random_state=1), first.sample(4, random_state=2))
    assert not np.array_equal(first.score_samples(X), FlowDensity(**TINY, random_state=4).fit(X).score_samples(X))


def test_rows_do_not_depend_on_their_neighbours():
    X = np.random.default_rng(0).normal(size=(60, 3))
    density = FlowDensity(**TINY, random_state=0).fit(X)
    alone = np.concatenate([density.score_samples(row[None]) for row in X])
    np.testing.assert_allclose(density.score_samples(X), alone, rtol=1e-9)


def test_sample_weight_moves_the_density():
    X = np.concatenate([np.full((200, 1), -3.0), np.full((200, 1), 3.0)]) + np.random.default_rng(0).normal(size=(400, 1))
    weight = np.repeat([1.0, 0.0], 200)
    density = FlowDensity("gaussian", steps=300, lr=2e-2, random_state=0).fit(X, sample_weight=weight)
    assert density.sample(500, random_state=0).mean() == pytest.approx(-3, abs=0.3)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        density.fit(X, sample_weight=-weight)


def test_it_composes():
    X = np.random.default_rng(0).normal(size=(90, 2))
    assert cross_val_score(FlowDensity(**TINY), X, cv=3).shape == (3,)
    search = GridSearchCV(FlowDensity(**TINY, random_state=0), {"model": ["nsf", "maf"], "options": [{"steps": 1}]}, cv=2).fit(X)
    assert search.best_params_["model"] in ("nsf", "maf")
    assert np.isfinite(make_pipeline(StandardScaler(), FlowDensity(**TINY)).fit(X).score(X))
    twin = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(twin.score_samples(X), search.best_estimator_.score_samples(X))
    assert clone(twin).get_params() == twin.get_params()


def test_constant_features_are_survived_and_said():
    X = np.column_stack([np.full(50, 7.0), np.random.default_rng(0).normal(size=50)])
    with pytest.warns(UserWarning, match="features 0 are constant"):
        density = FlowDensity(**TINY).fit(X)
    assert np.isfinite(density.score_samples(X)).all()
    np.testing.assert_allclose(density.sample(20)[:, 0], 7.0, atol=1e-3)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "nfs"}, "did you mean 'nsf'"),
        ({"options": {"step": 1}}, "did you mean 'model.steps'"),
        ({"validation_fraction": 1.5}, "validation_fraction"),
        ({"steps": 0}, "steps"),
    ],
)
def test_bad_parameters(parameters, words):
    with pytest.raises(ValueError, match=words):
        FlowDensity(**parameters).fit(np.random.default_rng(0).normal(size=(30, 2)))
