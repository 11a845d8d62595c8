"""Gaps that are no part of the density: ``missing="ignore"``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from mixed import mixed_data, mixed_table, started
from torch import Tensor

import pushforward as pf
from pushforward.core import Flow
from pushforward.data import Rows, Schema
from pushforward.evaluation import evaluate
from pushforward.models import any_order
from pushforward.products import product_baselines
from pushforward.training import fit
from pushforward.transforms import Support

GAPPY = ["height", "when"]
SMALL = ["model.width=8", "model.depth=1", "model.rank=2", "model.cells=8", "model.fine=2", "train.steps=5"]


def test_the_schema_remembers_it():
    data = mixed_data(missing="ignore")
    supports = {column.name: column.kind.support() for column in Schema.from_json(data.schema.to_json()).columns}
    assert [name for name, support in supports.items() if support.ignorable] == GAPPY
    assert not any(column.kind.support().ignorable for column in mixed_data().schema.columns)
    assert any("with gaps that are not modelled: height" in note for note in data.notes)
    assert data.train.x.isnan().any()


def test_it_starts_as_independent_columns_as_the_baseline_says():
    """Of the values that are there, in both."""
    data = mixed_data(missing="ignore")
    rows = data.train  # whose values all have been seen
    flow = started(data, cells=64, fine=64)
    baseline = next(s for s in product_baselines(pf.data.Data("", data.schema, rows, rows, rows, None, [])) if "independent" in s.name)
    assert evaluate(flow, rows, schema=data.schema).nats == pytest.approx(baseline.nats, abs=1e-4)
    complete = rows.pick((~rows.x.isnan().any(1)).numpy())
    kept = evaluate(started(mixed_data(), cells=64, fine=64), complete).nats  # says as well that nothing is missing
    there = (~rows.x.isnan()).double().mean(0).log().sum().item()
    assert evaluate(flow, complete).nats == pytest.approx(kept - there, abs=1e-4)


def test_a_mixture_of_products_integrates_gaps_out():
    """Rows without any of the values that tell components apart score as the mean of the columns that are there."""
    random = np.random.default_rng(0)
    side = random.integers(0, 2, 3000)
    table = pa.table(
        {name: pa.array(np.where(random.random(3000) < 0.9, side, 1 - side), mask=random.random(3000) < 0.3) for name in "abcd"}
    )
    data = pf.data.load(table, missing="ignore")
    best, alone = product_baselines(data)
    assert "mixture" in best.name and best.nats > alone.nats + 0.05
    x = data.test.x.clone()
    x[:, 1:] = torch.nan
    single, shares = product_baselines(pf.data.Data("", data.schema, data.train, data.valid, Rows(x), None, []))
    assert single.nats == pytest.approx(shares.nats, abs=2e-3) and shares.nats > -np.log(2)


def test_a_run_and_its_questions(tmp_path):
    table = mixed_table()
    run = pf.fit(table, missing="ignore", out=tmp_path / "run", options=SMALL, report=False, progress=False)
    again = pf.load(tmp_path / "run")
    assert again.config["data"]["missing"] == "ignore" and not again.flow.base.gaps
    samples = pf.sample(again, 300, seed=0)
    assert all(samples[name].null_count == 0 for name in samples.column_names)
    scored = pf.score(again, table).table
    assert scored["log_likelihood"].null_count == 0 and scored["reason"].null_count == len(scored)
    assert pf.impute(again, table)["height"].null_count == 0
    assert pf.predict(again, table, "height")["height_log_density"].null_count == table["height"].null_count
    assert np.isfinite(pf.results(run)["scores"][0]["nats"]) and 0.4 < pf.results(run)["c2st"]["accuracy"] < 1
    assert sum(column.nats for column in pf.verbs.nats_by_column(again, table)) == pytest.approx(pf.evaluate(again, table).nats)


def copula(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three columns with marginals of their own and normal dependence, and their log densities."""
    random = torch.Generator().manual_seed(seed)
    covariance = torch.tensor([[1.0, 0.8, -0.5], [0.8, 1.0, -0.2], [-0.5, -0.2, 1.0]], dtype=torch.float64)
    z = torch.randn(rows, 3, generator=random, dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    log_prob = torch.distributions.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(z)
    return torch.stack([z[:, 0], z[:, 1].exp(), z[:, 2].sinh()], 1), log_prob - z[:, 1] - z[:, 2].cosh().log()


def learned(x: Tensor, steps: int = 200) -> Flow:
    """Of columns of which the last two may have gaps."""
    torch.manual_seed(0)
    supports = [Support(), Support(low=0.0, missing=True, ignorable=True), Support(missing=True, ignorable=True)]
    flow = any_order((3,), supports, cells=24, fine=4, width=32, depth=1, rank=8)
    fit(flow, Rows(x[:5000]), Rows(x[5000:]), steps=steps, batch=256, lr=6e-3, ema=0.98, seed=0, progress=False)
    return flow.eval()


def test_what_is_removed_at_random_is_hardly_missed():
    """Half of the cells where the first column is high: what is left of the others is low, and the density of all rows is found yet."""
    x, _ = copula(5500, 0)
    (test, truth), random = copula(4000, 1), torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    removed = random < torch.where(x[:, :1] > 0, 0.5, 0.1) * torch.tensor([0, 1, 1])
    holed = learned(torch.where(removed, torch.nan, x))
    alone, whole, lost = (float(truth.mean()) - evaluate(flow, Rows(test)).nats for flow in (learned(x, 1), learned(x), holed))
    assert lost - whole < 0.15 * (alone - whole) and alone > 0.7
    torch.manual_seed(0)
    drawn = holed.sample((20_000,))
    left, learned_mean = (rows[:, 1].log().mean().item() for rows in (x[~removed[:, 1]], drawn))  # 0 in truth
    assert left < -0.2 and abs(learned_mean) < 0.07
