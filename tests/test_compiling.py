"""Compiled steps: when they are worth it, that they learn the same, and that nothing ends where compiling fails."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pushforward import options
from pushforward.core import Chain, Flow
from pushforward.data import load
from pushforward.distributions import Normal
from pushforward.models import IMAGE_MODELS, MODELS, VECTOR_MODELS
from pushforward.objectives import MaximumLikelihood
from pushforward.training import Run, build, fit
from pushforward.training.clock import Clock
from pushforward.training.compiling import BEST, Ledger, Look, Outlook, Watch, compiler_cache
from pushforward.training.display import Display
from pushforward.training.gradient import Gradient, sentence
from pushforward.training.processes import Processes
from pushforward.training.schedule import Plan
from pushforward.training.state import Counters, State
from pushforward.transforms import Elementwise
from pushforward.univariate import Affine

CONFIG = {"data": {"source": "table"}, "model": {"name": "nsf", "steps": 1, "width": 16, "depth": 1}, "train": {"steps": 60}}


@pytest.mark.parametrize(
    ("seconds", "ratio", "work", "pays"),
    [
        (25.0, 2.0, 240.0, True),  # 8,000 steps at 30 ms
        (25.0, 2.0, 60.0, False),  # 30 seconds saved for 25
        (25.0, 1.3, 240.0, True),
        (25.0, 1.3, 200.0, False),
        (100.0, 2.0, 240.0, False),  # cold
        (13.0, 2.0, 60.0, True),  # the same from the cache
        (1.0, 1.02, 1e6, False),  # too little to be told from noise
        (1.0, 0.9, 1e6, False),
        (60.0, 1.5, math.inf, True),
    ],
)
def test_when_it_pays(seconds, ratio, work, pays):
    assert Outlook(seconds, ratio).pays(work) is pays


def test_the_best_case_is_the_least_that_is_asked_for():
    assert not BEST.pays(8.5) and BEST.pays(9.5)


def test_sentence():
    assert sentence(Outlook(25.0, 2.0), False, 8000, 0.03) == (
        "compiling: about 25 s, then about 2.0 times as fast; 8,000 steps left at 30 ms"
    )
    assert "as measured in an earlier run" in sentence(Outlook(25.0, 2.0), True, 8000, 0.03)


def test_a_watch_takes_the_usual_step():
    watch = Watch(span=1.0)
    for seconds in (0.2, 0.2, 9.0):
        assert not watch.enough
        watch.add(seconds)
    assert watch.enough and watch.typical == 0.2
    quick = Watch(span=1.0)
    for _ in range(40):
        quick.add(1e-3)
    assert quick.enough


def test_ledger(tmp_path):
    ledger = Ledger(tmp_path / "cache")
    assert ledger.outlook("a") is None
    ledger.enter("a", 40.0, 1.8)
    cold = Ledger(tmp_path / "cache").outlook("a")
    assert cold is not None and cold.ratio == 1.8 and 4 < cold.seconds < 20  # the next time the cache has it
    ledger.enter("a", 9.0, 1.7)
    assert ledger.outlook("a") == Outlook(9.0, 1.7) and ledger.outlook("b") is None
    file = tmp_path / "cache" / "pushforward.json"
    for damaged in ("", "[]", '{"a": 3}', '{"a": ["x", 1, 1]}', '{"a": [NaN, 1, 1]}', '{"a": [1, 2]}'):
        file.write_text(damaged)
        assert ledger.outlook("a") is None
        ledger.enter("a", 40.0, 1.8)
        assert ledger.outlook("a") is not None
    (tmp_path / "file").write_text("")
    Ledger(tmp_path / "file").enter("a", 1.0, 1.0)  # cannot be written: no matter


@pytest.mark.slow
def test_the_ledger_lies_beside_the_compiled_code():
    from torch._inductor.runtime.runtime_utils import cache_dir

    assert compiler_cache() == Path(cache_dir())


def test_look_changes_nothing():
    """Same loss and gradient; the same name for the same shapes; products are not counted as what can be fused."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), torch.randn(16, 4)
    expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    looks = []
    for rows in (x, x, x[:8]):
        with Look(torch.device("cpu")) as look:
            got = torch.autograd.grad(net(rows).sum(), list(net.parameters()))
        looks.append(look)
        if rows is x:
            torch.testing.assert_close(got, expected, atol=0, rtol=0)
    assert looks[0].name == looks[1].name != looks[2].name
    assert 8 <= looks[0].calls <= 20 and looks[0].seconds > 0
    assert looks[0].outlook(1.0).ratio == pytest.approx(1.0, abs=0.01)  # a step of one second is not made of these
    assert 1.0 < looks[0].outlook(1e-4).ratio < BEST.ratio + 0.01


def test_convolutions_on_a_cpu_gain_nothing():
    net, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()), torch.randn(8, 3, 9, 9)
    with Look(torch.device("cpu")) as look:
        net(x).sum().backward()
    assert look.convolutions == 1 and look.outlook(1e-3).ratio == 1.0


class Work(nn.Module):
    """A loss that takes some time."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(300) / 2)

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        for _ in range(4):
            x = torch.tanh(x @ self.weight)
        return x.mean()


def nothing(graph, inputs):
    """Compiled code that is faster than any."""
    return lambda *args: (next(a for a in args if a.requires_grad)[0].sum() * 0 + 1.0,)


def slower(graph, inputs):
    def call(*args):
        time.sleep(0.02)
        return graph(*args)

    return call


def broken(graph, inputs):
    raise OSError("no compiler here")


class Sitting:
    """A gradient with what it needs, and a run of many steps ahead."""

    def __init__(self, folder: Path, backend, choice="auto", model=None, steps=10**9, decided="", limit=None):
        self.now = Counters(Plan(None, steps, 100, 0, 0), compiled=decided)
        self.model, processes = model or Work(), Processes()
        clock = Clock(time.perf_counter(), self.now, limit, processes)
        display = Display(shown=True)
        self.gradient = Gradient(
            self.model, choice, self.now, clock, processes, nullcontext(), display, 0, backend=backend, ledger=Ledger(folder)
        )
        self.turns = 0

    def go(self, steps: int) -> list[float]:
        x, losses = torch.randn(32, 300, generator=torch.Generator().manual_seed(0)), []
        for _ in range(steps):
            losses.append(self.gradient((x, None, None), 1.0).item())
            assert all(p.grad is not None for p in self.model.parameters())
            self.model.zero_grad()
            self.now.step += 1
            self.turns += self.gradient.news()
        return losses


def test_auto_compiles_where_it_pays(tmp_path, capsys):
    sitting = Sitting(tmp_path, nothing)
    assert sitting.go(30)[-1] != 1.0 and not sitting.gradient.settled and sitting.now.compiled == ""
    losses = sitting.go(80)
    assert losses[-1] == 1.0 and sitting.gradient.settled and sitting.now.compiled == "yes" and sitting.turns == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0].startswith("compiling: about ") and "steps left at" in said[0]
    assert said[1].startswith("compiled in ") and said[1].endswith("times as fast")
    (entry,) = json.loads((tmp_path / "pushforward.json").read_text()).values()
    assert entry[1] > 1.05 and entry[2] == 1
    again = Sitting(tmp_path, nothing)  # known now
    again.go(110)
    assert again.now.compiled == "yes" and "as measured in an earlier run" in capsys.readouterr().err


def test_auto_goes_back_where_it_is_not_faster(tmp_path, capsys):
    sitting = Sitting(tmp_path, slower)
    losses = sitting.go(110)
    assert sitting.gradient.settled and sitting.now.compiled == "no" and sitting.turns == 2
    assert "but 0." in (said := capsys.readouterr().err) and "training goes on without compiling" in said
    assert losses == pytest.approx([losses[0]] * 110)
    again = Sitting(tmp_path, slower)  # it is known that it brings nothing
    again.go(60)
    assert again.now.compiled == "no" and again.turns == 0 and not capsys.readouterr().err


@pytest.mark.parametrize("options", [{"steps": 300}, {"limit": 5.0}, {"choice": "no"}, {"decided": "no"}])
def test_short_runs_stay_as_they_are(tmp_path, capsys, options):
    sitting = Sitting(tmp_path, broken, **options)
    sitting.go(60)
    assert sitting.gradient.settled and sitting.now.compiled == "no" and not capsys.readouterr().err


@pytest.mark.parametrize("options", [{"choice": "yes"}, {"decided": "yes"}])
def test_a_decision_is_not_taken_again(tmp_path, capsys, options):
    """Asked for, or decided before the run was stopped: compiled from the first step, without measuring."""
    sitting = Sitting(tmp_path, nothing, **options)
    assert sitting.gradient.settled and sitting.go(5) == [1.0] * 5 and sitting.now.compiled == "yes"
    assert not (tmp_path / "pushforward.json").exists() and capsys.readouterr().err.startswith("compiled in")


@pytest.mark.parametrize("backend", [broken, "no-such-compiler"])
def test_failure_is_told_and_training_goes_on(tmp_path, capsys, backend):
    sitting = Sitting(tmp_path, backend, choice="yes")
    losses = sitting.go(5)
    assert losses == [losses[0]] * 5 and sitting.now.compiled == "no"
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("note: compiling failed (") and said.endswith("training goes on without compiling")


def test_layers_that_save_memory_are_not_compiled(tmp_path, capsys):
    class Sparing(Work):
        def __init__(self):
            super().__init__()
            self.layers = Chain(Elementwise(Affine(), (2,)), memory="constant").requires_grad_(False)

        def zero_grad(self, set_to_none=True):
            super().zero_grad(set_to_none)

    for choice in ("auto", "yes"):
        sitting = Sitting(tmp_path, broken, choice=choice, model=Sparing())
        assert sitting.gradient.settled and sitting.now.compiled == "no"
        assert ("save memory" in capsys.readouterr().err) is (choice == "yes")


class Changing(Work):
    """Each step is another code: Python's state is part of it."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().forward(x) * 1.0 + self.calls * 0.0


class Broken(Work):
    """A loss that can't be had in one graph."""

    def forward(self, x: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        x = torch.tanh(x @ self.weight)
        torch._dynamo.graph_break()
        return super().forward(x)


def test_code_that_changes_is_given_up(tmp_path, capsys):
    torch._dynamo.reset()
    sitting = Sitting(tmp_path, "eager", choice="yes", model=Changing())
    losses = sitting.go(12)
    assert losses == pytest.approx([losses[0]] * 12) and sitting.now.compiled == "no"
    assert "changes from step to step" in capsys.readouterr().err


def test_broken_graphs_are_compiled_in_pieces(tmp_path, capsys):
    torch._dynamo.reset()
    sitting = Sitting(tmp_path, "aot_eager", choice="yes", model=Broken())
    losses = sitting.go(6)
    assert losses == pytest.approx([losses[0]] * 6) and sitting.now.compiled == "yes"
    assert "note" not in capsys.readouterr().err


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
    assert options.parse(["train.compile=yes"], MODELS["nsf"], fit)[1] == {"compile": "yes"}
    with pytest.raises(ValueError, match=r"train\.compile: expected .*auto"):
        options.parse(["train.compile=maybe"], MODELS["nsf"], fit)
    with pytest.raises(ValueError, match="expected compile 'auto', 'yes' or 'no'"):
        fit(Flow(Normal((1,)), Elementwise(Affine(), (1,))), data.train, data.valid, compile="maybe")
    run = Run.create(tmp_path / "run", CONFIG, data.schema)
    history = fit(build(CONFIG, data.schema), data.train, data.valid, steps=60, batch=64, run=run, progress=False)
    assert not history.compiled and Run.load(run.path).config["train"]["compile"] == "no"
    assert State.load(run.state).counters.compiled == "no"


def one_graph(objective: MaximumLikelihood, x: Tensor, context: Tensor | None) -> None:
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
                loss = call(rows, given, None)
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


TINY_IMAGES: dict[str, dict[str, object]] = {
    "glow": {"width": 8, "scales": 2, "steps": 1},
    "real_nvp_image": {"width": 8, "scales": 2, "depth": 1},
    "flow_pp": {"width": 8, "depth": 1, "components": 2, "boards": (1, 1), "mixes": (1, 0), "noise_width": 8, "noise_depth": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_recipes_of_images_are_one_graph(name):
    torch.manual_seed(0)
    flow = IMAGE_MODELS[name]((3, 8, 8), levels=256, **TINY_IMAGES[name])
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
    assert "compiled in" in capsys.readouterr().err and run.config["train"]["compile"] == "yes"
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
