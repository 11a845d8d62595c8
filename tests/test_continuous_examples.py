"""The examples of continuous flows draw what their nets do, and the naive pairing errs as they say."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import words_stay_inside  # noqa: F401  (on by itself)
from PIL import Image

from pushforward.data import load
from pushforward.models import ffjord
from pushforward.plots import save
from pushforward.transforms.integrate import even


@pytest.fixture
def example(request, monkeypatch):
    """The script as a module."""
    path = Path(__file__).parent.parent / "examples" / f"{request.param}.py"
    spec = importlib.util.spec_from_file_location(request.param, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", ["trajectories"], indirect=True)
def test_ways_end_where_the_flow_says(example, monkeypatch, tmp_path):
    monkeypatch.setattr(example, "MEASURED", 50)
    monkeypatch.setattr(example, "CLOUD", 100)
    monkeypatch.setattr(example, "FRAMES", 5)
    data = load("8gaussians")
    data = dataclasses.replace(data, test=data.test.pick(slice(200)))
    torch.manual_seed(0)
    flow = ffjord((2,), width=8).prepend(*data.schema.layers())
    for weights in flow.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    found = example.measured(data, flow.eval())
    assert found.evaluations.shape == (50,) and (found.evaluations % 6 == 1).all() and found.evaluations.max() > 13
    there = example.way(found.layer, found.y, even(0.0, 1.0, 50))[-1]
    torch.testing.assert_close(there, flow.encode(data.test.x[:50]), rtol=0, atol=2e-3)
    torch.testing.assert_close(example.way(found.layer, there, even(1.0, 0.0, 50))[-1], found.y, rtol=0, atol=2e-3)

    parts = dict.fromkeys(list(example.COLOURS)[:2], found)
    save(example.draw(parts), tmp_path / "ways.png")
    with Image.open(example.animate(parts, tmp_path / "moving.webp", seed=0)) as film:
        assert film.n_frames == 6


@pytest.mark.parametrize("example", ["pairing"], indirect=True)
def test_truth_of_the_pairing_is_a_density(example, tmp_path):
    rows = example.drawn(20_000, seed=0)
    np.testing.assert_allclose(example.shares(rows), example.LEFT, atol=0.015)
    line = torch.linspace(-5, 5, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    for c in (0.0, 1.0):
        given = dataclasses.replace(rows, x=grid, context=torch.full((len(grid), 1), c))
        assert example.true_log_prob(given).exp().sum().item() * 0.025**2 == pytest.approx(1, abs=1e-6)
    save(example.draw({name: (rows.pick(slice(100)), "−2.123 nats") for name in ("truth", *example.LOSSES)}), tmp_path / "pairing.png")


@pytest.mark.slow
@pytest.mark.parametrize("example", ["pairing"], indirect=True)
def test_only_the_naive_pairing_forgets_the_context(example):
    held_out = example.drawn(5000, seed=3)
    best = example.true_log_prob(held_out).mean()
    for name in list(example.LOSSES)[1:]:
        flow = example.trained(name, seconds=20, seed=0)
        gap = float((best - flow.log_prob(held_out.x, held_out.context).mean()).detach())
        torch.manual_seed(0)
        shares = example.shares(example.samples(flow, 4000))
        if "across" in name:
            assert gap > 0.1 and abs(shares[0] - 0.5) < 0.1 and abs(shares[1] - 0.5) < 0.1
        else:
            assert gap < 0.05 and abs(shares[0] - 0.8) < 0.05 and abs(shares[1] - 0.2) < 0.05
