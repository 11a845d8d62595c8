"""Figures say what they draw: conditional densities are the mixture they claim, and no word leaves its figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pushforward import Flow, Transform
from pushforward.distributions import Normal
from pushforward.plots.density import EVALUATIONS, contexts_of, density


class Shift(Transform):
    """``z = x - c``: given c, x is a standard normal around it."""

    def forward(self, x, context=None):
        return x - context, x.new_zeros(len(x))

    def inverse(self, z, context=None):
        return z + context, z.new_zeros(len(z))


def given(dim=1):
    return Flow(Normal((dim,)), Shift(), context=dim).double()


@pytest.mark.parametrize("words", [3, 4000], ids=["few contexts", "many contexts"])
def test_a_conditional_density_is_the_mixture_over_the_rows(words):
    """The density of N(c, 1) over the rows' own c, however they are ordered; few distinct ones to the last digit."""
    c = np.random.default_rng(0).gamma(0.7, 3, (5000, 1))
    c = np.round(c.clip(0, 2)) if words == 3 else c
    points = np.linspace(-4, 20, 600)[:, None]
    true = stats.norm.pdf(points, c.T).mean(1)
    contexts = contexts_of(given(), torch.from_numpy(c), len(points))
    assert contexts.weights.sum().item() == pytest.approx(1)
    assert contexts.words == (
        "the contexts of all 5,000 rows" if words == 3 else "the contexts of 1,747 of the 5,000 rows, evenly spaced in their order"
    )
    found = density(given(), points, contexts)
    weight = contexts.weights.max().item()
    np.testing.assert_allclose(found, true, rtol=1e-12, atol=0 if words == 3 else 0.5 * weight * stats.norm.pdf(0))
    first = density(given(), points, contexts_of(given(), torch.from_numpy(c[:16]), len(points)))
    assert abs(first - true).max() > 0.02 * true.max(), "sixteen rows do not stand for all of them"


def test_what_a_density_costs_is_bounded():
    contexts = contexts_of(given(2), torch.randn(30_000, 2, dtype=torch.float64), 100**2)
    assert len(contexts.weights) * 100**2 <= EVALUATIONS
    assert len(contexts_of(given(), torch.randn(50, 1), 2 * EVALUATIONS).weights) == 1


def test_an_unconditional_density_is_itself():
    points = np.random.default_rng(0).normal(size=(20_000, 1))
    np.testing.assert_allclose(density(Flow(Normal((1,))).double(), points), stats.norm.pdf(points[:, 0]))
