"""Compiled steps: which ones are, that they learn the same, and that nothing ends where compiling fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import safetensors.torch
import test_pixel_models
import torch
from torch import Tensor, nn

from pushforward import options
from pushforward.core import Flow
from pushforward.data import load
from pushforward.distributions import Normal
from pushforward.models import IMAGE_MODELS, MODELS, VECTOR_MODELS, maf, nsf, real_nvp
from pushforward.models.build import build
from pushforward.objectives import ELBO, MaximumLikelihood
from pushforward.training import Run, fit
from pushforward.training.checkpoint import Checkpoint
from pushforward.training.display import Display
from pushforward.training.gradient import Gradient, settle
from pushforward.training.processes import Processes
from pushforward.transforms import Elementwise
from pushforward.univariate import Affine

CONFIG = {"data": {"source": "table"}, "model": {"name": "nsf", "steps": 1, "width": 16, "depth": 1}, "train": {"steps": 60}}


class Work(nn.Module):
    """A loss that takes some time."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(300) / 2)

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        for _ in range(4):
            x = torch.tanh(x @ self.weight)
        return x.mean()


def broken(graph, inputs):
    raise OSError("no compiler here")


def steps(model: nn.Module, backend, count: int = 5) -> tuple[list[float], Gradient]:
    """Losses of some compiled steps, with the gradient that took them."""
    torch._dynamo.reset()
    gradient, losses = Gradient(model, Processes(), Display(shown=True), 0, backend), []
    gradient.compiled = True
    x = torch.randn(32, 300, generator=torch.Generator().manual_seed(0))
    for step in range(count):
        losses.append(gradient(step, (x, None, None), 1.0).item())
        assert gradient.turned() == (step == 0) and all(p.grad is not None for p in model.parameters())
        model.zero_grad()
    return losses, gradient


@pytest.mark.parametrize("backend", [broken, "no-such-compiler"])
def test_failure_is_told_and_training_goes_on(capsys, backend):
    losses, gradient = steps(Work(), backend)
    assert losses == [losses[0]] * 5 and not gradient.compiled
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("note: compiling failed (") and said.endswith("training goes on without compiling")


class Broken(Work):
    """A loss that can't be had in one graph."""

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        x = torch.tanh(x @ self.weight)
        torch._dynamo.graph_break()
        return super().forward(x)


def test_broken_graphs_are_compiled_in_pieces(capsys):
    losses, gradient = steps(Broken(), "aot_eager")
    assert losses == pytest.approx([losses[0]] * 5) and gradient.compiled and not capsys.readouterr().err


WITH_KERNEL, COUPLINGS = real_nvp((4,), steps=1, width=4), nsf((4,), mechanism="coupling", spline="quadratic", steps=1, width=4)
ONE_BY_ONE = Flow(Normal((2,)), Elementwise(Affine(), (2,)), memory="constant")
IMAGES = IMAGE_MODELS["glow"]((1, 4, 4), levels=4, scales=1, steps=1, width=4)


@pytest.mark.parametrize(
    ("asked", "before", "flow", "settled"),
    [
        ("auto", "", COUPLINGS, ""),  # it depends on how long the run will be
        ("auto", "", WITH_KERNEL, "no"),
        ("auto", "", maf((4,), steps=1, width=4), "no"),
        ("auto", "", IMAGES, "no"),
        ("auto", "yes", maf((4,), steps=1, width=4), "yes"),  # what was written down holds
        ("auto", "no", COUPLINGS, "no"),
        ("yes", "no", IMAGES, "yes"),
        ("no", "yes", COUPLINGS, "no"),
        ("yes", "yes", ONE_BY_ONE, "no"),
        ("auto", "", ONE_BY_ONE, "no"),
    ],
)
def test_what_is_compiled(capsys, asked, before, flow, settled):
    assert settle(asked, before, flow, flow, Processes(), Display(shown=False)) == settled
    assert ("save memory" in capsys.readouterr().err) == (asked == "yes" and flow is ONE_BY_ONE)


@pytest.mark.parametrize(("limit", "compiled"), [(3000.0, "yes"), (250.0, "no")])
def test_auto_compiles_long_runs_of_couplings(data, tmp_path, capsys, monkeypatch, limit, compiled):
    """Stopped by Ctrl-C soon after, the run goes on as was decided; with a compiler that fails, it says so and is written down, too."""
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)  # as good as any

    def watch(flow: nn.Module, step: int, share: float) -> None:
        if step >= 24:
            signal.raise_signal(signal.SIGINT)

    run = Run.create(tmp_path / "run", CONFIG, data.schema)
    settings = {"batch": 64, "every": 24, "run": run, "resume": True, "time_limit": limit, "watch": watch}
    flow = nsf((4,), context=4, mechanism="coupling", spline="quadratic", steps=1, width=4)
    flow = flow.prepend(*data.schema.layers(), shape=(4,), context=(2,), embed=data.schema.embed())
    history = fit(flow, data.train, data.valid, **settings)
    assert history.stopped == "interrupted" and history.compiled == (compiled == "yes")
    assert ("compiling, since about 50m" in capsys.readouterr().err) == history.compiled
    assert run.config["train"]["compile"] == Checkpoint.load(run.state).counters.compiled == compiled


def table(rows: int = 600):
    """Float64 columns of several kinds, so that all of the preprocessing is there."""
    rng = np.random.default_rng(0)
    columns = {
        "count": rng.integers(0, 9, rows),
        "size": rng.normal(size=rows),
        "price": np.exp(rng.normal(size=rows)),
        "share": rng.uniform(size=rows).clip(1e-6, 1 - 1e-6),
        "age": rng.normal(size=rows),
        "city": rng.choice(["a", "b", "c"], rows),
    }
    return load(pyarrow.table(columns), context=["age", "city"])


@pytest.fixture(scope="module")
def data():
    return table()


def test_the_option_and_the_runs_configuration(data, tmp_path):
    assert options.parse_options(["train.compile=yes"], MODELS["nsf"], fit)[1] == {"compile": "yes"}
    with pytest.raises(ValueError, match=r"train\.compile: expected .*auto"):
        options.parse_options(["train.compile=maybe"], MODELS["nsf"], fit)
    with pytest.raises(ValueError, match="expected compile 'auto', 'yes' or 'no'"):
        fit(Flow(Normal((1,)), Elementwise(Affine(), (1,))), data.train, data.valid, compile="maybe")
    run = Run.create(tmp_path / "run", CONFIG, data.schema)
    history = fit(build(CONFIG, data.schema), data.train, data.valid, steps=60, batch=64, run=run, progress=False)
    assert not history.compiled and Run.load(run.path).config["train"]["compile"] == "no"
    assert Checkpoint.load(run.state).counters.compiled == "no"


def one_graph(objective: nn.Module, x: Tensor, context: Tensor | None, *more: Tensor) -> None:
    """Loss and gradient, compiled in one graph, are as without; a second batch needs no other code."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    parameters = [p for p in objective.parameters() if p.requires_grad]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about itself
        compiled = torch.compile(objective, fullgraph=True, dynamic=False, backend="aot_eager")
        for turn in range(2):
            rows, given = x.roll(turn, 0), None if context is None else context.roll(turn, 0)
            found = []
            for call in (objective, compiled):
                torch.manual_seed(turn)
                loss = call(rows, given, None, *more)
                found.append((loss, *torch.autograd.grad(loss, parameters)))
            for a, b in zip(*found, strict=True):
                torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


TINY_VECTOR = {"gaussian_mixture": {"components": 3}, "gaussian": {}, "umnn": {"steps": 2, "units": 3, "cells": 8, "width": 16, "depth": 1}}


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTOR_MODELS)
def test_recipes_of_tables_are_one_graph(data, name):
    """With the preprocessing of a table, its embedded context, and noise on whole numbers; in the dtypes of training."""
    known = options.defaults(MODELS[name])
    small = {key: value for key, value in {"steps": 2, "width": 16, "depth": 1}.items() if key in known}
    torch.manual_seed(0)
    flow = build({"model": {"name": name, **TINY_VECTOR.get(name, small)}}, data.schema)
    x, context = data.train.x[:16], data.train.context[:16]
    flow.initialize(x, context)
    one_graph(MaximumLikelihood(flow).train(), x, context)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["gaussian", "coupling"])
def test_the_bound_is_one_graph(data, posterior):
    """With a weight that warms up, of a VAE with a prior of couplings."""
    torch.manual_seed(0)
    model = {"name": "vae", "latent": 4, "width": 16, "prior": "real_nvp", "prior_steps": 2, "posterior": posterior}
    flow = build({"model": model}, data.schema)
    x, context = data.train.x[:16], data.train.context[:16]
    flow.initialize(x, context)
    one_graph(ELBO(flow, warmup=0.5).train(), x, context, torch.tensor(0.2))


TINY_IMAGES: dict[str, dict[str, object]] = {
    "glow": {"width": 8, "scales": 2, "steps": 1},
    "idf": {"width": 8, "depth": 2, "scales": 2, "steps": 1},
    "real_nvp_image": {"width": 8, "scales": 2, "depth": 1},
    "flow_pp": {"width": 8, "depth": 1, "components": 2, "boards": (1, 1), "mixes": (1, 0), "noise_width": 8, "noise_depth": 1},
    "ffjord_image": {"scales": 1, "width": 4, "depth": 1, "steps": 1},
    "mintnet_image": {"scales": 1, "steps": 1, "width": 2},
    "residual_flow_image": {"scales": 1, "steps": 1, "width": 2, "last_width": 2, "log_det": "truncated"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_recipes_of_images_are_one_graph(name):
    torch.manual_seed(0)
    flow = IMAGE_MODELS[name]((3, 8, 8), levels=256, **(TINY_IMAGES.get(name) or test_pixel_models.TINY[name]))
    x = torch.randint(0, 256, (8, 3, 8, 8)).float()
    flow.initialize(x)
    one_graph(MaximumLikelihood(flow).train(), x, None)


def trained(data, path: Path, compile: str, **more) -> tuple[Run, list[float]]:
    run = Run.create(path, CONFIG, data.schema)
    torch.manual_seed(1)
    flow = build(CONFIG, data.schema)
    history = fit(flow, data.train, data.valid, steps=150, batch=64, lr=1e-2, every=25, patience=0, run=run, compile=compile, **more)
    assert history.compiled == (compile == "yes")
    return run, [record["valid"] for record in history.records]


@pytest.mark.slow
def test_compiled_learns_the_same(data, tmp_path, capsys):
    """The curves, noise on whole numbers included, agree to what rounding has made of itself after 150 steps: a hundredth of a nat."""
    _, normal = trained(data, tmp_path / "no", "no")
    run, compiled = trained(data, tmp_path / "yes", "yes")
    assert "note" not in capsys.readouterr().err and run.config["train"]["compile"] == "yes"
    assert compiled[-1] < compiled[0] - 0.5
    assert compiled == pytest.approx(normal, abs=0.01)


@pytest.mark.slow
def test_a_compiled_run_goes_on_as_if_nothing_had_happened(data, tmp_path):
    """Stopped by its validation's watcher half-way, resumed with what config.toml says: the same weights, to the bit."""
    runs = []
    for stop in (None, 75):
        run = Run.create(tmp_path / str(stop), CONFIG, data.schema)

        def watch(flow: nn.Module, step: int, share: float, stop: int | None = stop) -> None:
            if step == stop:
                signal.raise_signal(signal.SIGINT)

        for choice in ("yes",) if stop is None else ("yes", "auto"):
            torch.manual_seed(1)
            flow = build(CONFIG, data.schema)
            history = fit(
                flow, data.train, data.valid, steps=150, batch=64, every=25, patience=0, run=run, compile=choice, resume=True, watch=watch
            )
            assert history.compiled
        assert history.steps == 150
        runs.append(run)
    one, two = (safetensors.torch.load_file(run.state) for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_no_compiler_on_the_machine(data, tmp_path):
    """A real failure of the default backend: a C++ compiler that fails, and nothing in the cache."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_compiling import table, trained
from pathlib import Path
data = table()
try:
    trained(data, Path({str(tmp_path / "run")!r}), "yes")
except AssertionError:
    pass  # it was not compiled, as is to be
"""
    env = os.environ | {"CXX": "/bin/false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "note: compiling failed" in done.stderr and "training goes on without compiling" in done.stderr
    assert "Traceback" not in done.stderr
    assert Run.load(tmp_path / "run").config["train"]["compile"] == "no"
