"""A fit starts where simple densities end, and never ends below its start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pushforward.baselines import baselines
from pushforward.core import Flow
from pushforward.data import load
from pushforward.models import MODELS, gaussian, nsf
from pushforward.presets import read_preset
from pushforward.presets.recommend import for_table
from pushforward.training import fit
from pushforward.transforms import LULinear, Marginals


def correlated(rows: int, dim: int = 4) -> Tensor:
    torch.manual_seed(0)
    return (torch.randn(rows, dim) @ torch.randn(dim, dim) + 3).double()


def maximum(x: Tensor) -> torch.distributions.MultivariateNormal:
    """The Gaussian of the rows' mean and covariance."""
    return torch.distributions.MultivariateNormal(x.mean(0), x.mT.cov(correction=0))


def started(x: Tensor, **options) -> Flow:
    flow = nsf((x.shape[1],), width=8, **options).to(x.dtype)
    flow.initialize(x)
    return flow


# --- covariance ---


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(4,), (4, 2, 3)])
def test_lu_whitens_what_leaves(inverse, shape):
    x = correlated(2_000 * (1 if len(shape) == 1 else 6)).reshape(2_000, *shape[1:], 4).movedim(-1, 1)
    layer = LULinear(4, whiten=True).double()
    layer.initialize(x, inverse=inverse)
    channels = (layer.inverse(x) if inverse else layer(x))[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(4).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.cov(correction=0), torch.eye(4).double(), atol=2e-2, rtol=0)


@pytest.mark.parametrize("recipe", ["gaussian", "nsf", "sos"])
def test_step_0_is_the_gaussian_of_full_covariance(recipe):
    x = correlated(3_000)
    flow = MODELS[recipe]((4,), width=8)
    flow.initialize(x.float())
    some = x[:500]
    torch.testing.assert_close(flow.log_prob(some.float()).double().mean(), maximum(x).log_prob(some).mean(), atol=5e-3, rtol=0)


def test_few_rows_are_shrunk():
    """With fewer rows than columns the sample's covariance is singular; what the layer takes for it is no worse than the identity."""
    torch.manual_seed(0)
    x, test = torch.randn(20, 30).double(), torch.randn(1_000, 30).double()
    flow = gaussian((30,)).double()
    flow.initialize(x)
    columns = torch.distributions.Normal(x.mean(0), x.std(0, correction=0))
    assert flow.log_prob(test).mean() > columns.log_prob(test).sum(1).mean() - 0.1


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_start_from_hardly_any_rows_is_finite(rows):
    for x in (torch.randn(rows, 3), torch.ones(rows, 3)):
        flow = started(x, marginals=4)
        assert flow.log_prob(x).isfinite().all() and flow.sample((5,)).isfinite().all()


def test_columns_that_others_determine():
    x = correlated(500)
    x = torch.cat([x, x[:, :1] - x[:, 1:2]], 1).float()
    assert started(x, marginals=8).log_prob(x).isfinite().all()


def test_a_start_asks_for_more_rows_than_a_batch():
    assert LULinear(10, whiten=True).starting_rows == Marginals(10).starting_rows == 40_000
    assert LULinear(10).starting_rows == 0


# --- marginals ---


def test_marginals_of_a_gaussian_are_nearly_a_straight_line():
    torch.manual_seed(0)
    x = torch.randn(4_000, 3).double()
    layer = Marginals(3).double()
    torch.testing.assert_close(layer(x)[0], x)
    layer.initialize(x)
    error = layer(x)[0] - (x - x.mean(0)) / x.std(0)
    assert error.square().mean() < 1e-3


def test_marginals_leave_a_constant_column():
    x = torch.cat([torch.randn(100, 1), torch.full((100, 1), 7.0)], 1)
    layer = Marginals(2)
    layer.initialize(x)
    torch.testing.assert_close(layer(x)[0][:, 1], x[:, 1])


def test_marginals_are_not_started_backwards():
    layer = Marginals(2)
    layer.initialize(torch.randn(100, 2).exp(), inverse=True)
    assert not layer.h.any()


def skewed(rows: int, columns: int) -> Tensor:
    return (0.8 * torch.randn(rows, columns)).exp()


def humps(rows: int, columns: int) -> Tensor:
    return torch.where(torch.rand(rows, columns) < 0.5, -1.0, 1.0) + 0.3 * torch.randn(rows, columns)


@pytest.mark.parametrize(("make", "rows", "columns"), [(skewed, 100, 40), (skewed, 4_000, 12), (humps, 4_000, 3)])
def test_step_0_with_marginals_is_as_good_as_independent_columns(make, rows, columns):
    torch.manual_seed(0)
    data = load(make(rows, columns).numpy())
    flow = nsf((columns,), width=8, marginals=16).prepend(*data.schema.layers(), shape=(columns,))
    flow.initialize(data.train.x)
    mine = flow.log_prob(data.test.x).double().mean().item()
    simple = {score.name: score.nats for score in baselines(data, data.schema.layers())}
    assert mine > max(simple["Gaussian"], simple["independent columns"]) - 0.02


# --- what a fit makes of it ---


def test_a_flow_that_cannot_learn_keeps_its_start():
    """At a rate at which every step does harm, validation chooses step 0, whose weights come back."""
    torch.manual_seed(0)
    data = load(torch.randn(300, 3).numpy())
    flow = nsf((3,), width=8, steps=1, marginals=8).prepend(*data.schema.layers(), shape=(3,))
    history = fit(flow, data.train, data.valid, steps=40, every=20, warmup=0, lr=1.0, ema=0.0, patience=0, progress=False)
    assert history.best_step == 0 and history.records[-1]["valid"] > history.best + 0.1
    independent = torch.distributions.Normal(data.train.x.mean(0), data.train.x.std(0)).log_prob(data.test.x).sum(1).mean()
    assert abs((flow.log_prob(data.test.x).mean() - independent).item()) < 0.2


@pytest.mark.parametrize(("rows", "columns"), [(100, 5), (1_500, 5), (10_000, 5), (10_000, 50)])
def test_what_is_recommended_starts_from_marginals(rows, columns):
    assert read_preset(for_table(rows, columns)[0])["model.marginals"] == 16


def test_runs_of_releases_without_marginals_have_none():
    assert not any(isinstance(layer, Marginals) for layer in nsf((3,)).modules())
