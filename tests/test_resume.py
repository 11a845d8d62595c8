"""A run that is stopped, killed or out of disk goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pushforward.core import Flow
from pushforward.data import Rows, load
from pushforward.distributions import Normal
from pushforward.models import real_nvp
from pushforward.models.build import build
from pushforward.objectives import MaximumLikelihood
from pushforward.training import Run, fit
from pushforward.training.checkpoint import Checkpoint
from pushforward.transforms import ActNorm, Dequantize, Elementwise
from pushforward.univariate import Affine

OPTIONS = {"steps": 120, "batch": 64, "every": 25, "lr": 1e-2, "patience": 0, "progress": False}
CONFIG = {
    "data": {"source": "table"},
    "model": {"name": "real_nvp", "steps": 2, "width": 16, "depth": 1},
    "train": {"steps": 120, "every": None},
}


@pytest.fixture(scope="module")
def table():
    """Integers (so that training draws noise), a real column and a context."""
    rng = np.random.default_rng(0)
    columns = {"count": rng.integers(0, 9, 600), "size": rng.normal(size=600), "age": rng.normal(size=600)}
    import pyarrow

    return load(pyarrow.table(columns), context=["age"])


def new_run(path: Path, table, **options) -> Run:
    return Run.create(path, CONFIG, table.schema, **options)


class Interrupted(nn.Module):
    """Maximum likelihood; Ctrl-C is pressed during a chosen training step."""

    def __init__(self, flow: Flow, at: int | None, number: int = signal.SIGINT):
        super().__init__()
        self.inner, self.at, self.number, self.calls = MaximumLikelihood(flow), at, number, 0

    def forward(self, *rows: Tensor | None) -> Tensor:
        if self.training:
            if self.calls == self.at:
                signal.raise_signal(self.number)
            self.calls += 1
        return self.inner(*rows)


def train(run: Run, table, at: int | None = None, resume: bool = False, number: int = signal.SIGINT, **options):
    torch.manual_seed(7)
    flow = build(run.config, run.schema)
    torch.manual_seed(time.time_ns())  # nothing may depend on the caller's random state
    objective = Interrupted(flow, at, number)
    return flow, fit(flow, table.train, table.valid, loss=objective, run=run, resume=resume, **{**OPTIONS, **options})


def assert_same(a: Run, b: Run) -> None:
    """Weights, all of the state and the metrics are equal, to the bit."""
    for file in ("model.safetensors", "state/last.safetensors"):
        one, two = (safetensors.torch.load_file(run.path / file) for run in (a, b))
        assert one.keys() == two.keys()
        for name in one:
            assert torch.equal(one[name], two[name]), f"{file}: {name}"
    lines = [[(r["step"], r["loss"], r["valid"], r["lr"]) for r in run.metrics()] for run in (a, b)]
    assert lines[0] == lines[1]


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """The run that is left alone."""
    run = new_run(tmp_path_factory.mktemp("runs") / "whole", table)
    _, history = train(run, table)
    assert history.steps == 120 and history.stopped == "steps" and history.best < history.records[0]["valid"]
    return run


@pytest.mark.parametrize(("at", "number"), [(0, signal.SIGINT), (24, signal.SIGINT), (60, signal.SIGTERM), (119, signal.SIGINT)])
def test_stopped_and_resumed(whole, table, tmp_path, capsys, at, number):
    run = new_run(tmp_path / "run", table)
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in a shell's background
    _, history = train(run, table, at=at, number=number)
    assert history.stopped == "interrupted" and history.steps == at + 1
    said = capsys.readouterr().err
    assert f"at step {at + 1}; to be resumed from the checkpoint in {run.path}" in said
    assert ("Ctrl-C" if number == signal.SIGINT else "SIGTERM") in said
    assert signal.getsignal(signal.SIGINT) is before
    flow, history = train(run, table, resume=True)
    assert history.steps == 120 and history.stopped == "steps"
    assert_same(run, whole)
    for name, tensor in whole.flow.state_dict().items():
        assert torch.equal(flow.state_dict()[name], tensor), name


@pytest.mark.parametrize(("optimizer", "slot"), [("muon", "momentum_buffer"), ("soap", "basis1")])
def test_others_than_adam_go_on_to_the_bit(table, tmp_path, optimizer, slot):
    alone, stopped = (new_run(tmp_path / name, table) for name in ("alone", "stopped"))
    train(alone, table, optimizer=optimizer)
    train(stopped, table, at=65, optimizer=optimizer)
    assert any(name.startswith(f"optimizer.{slot}.") for name in safetensors.torch.load_file(stopped.path / "state/last.safetensors"))
    train(stopped, table, resume=True, optimizer=optimizer)
    assert_same(alone, stopped)


def test_stopped_again_and_again(whole, table, tmp_path):
    run = new_run(tmp_path / "run", table)
    for _ in range(4):
        train(run, table, at=29, resume=True)
    train(run, table, resume=True)
    assert_same(run, whole)
    _, history = train(run, table, resume=True)  # nothing left to do
    assert history.steps == 120 and len(history.records) == len(whole.metrics())
    assert_same(run, whole)


def test_roll_back_after_resume(table, tmp_path):
    """The good state is part of the checkpoint: a roll-back after a pause goes back to the same weights."""

    class Failing(Interrupted):
        def forward(self, *rows: Tensor | None) -> Tensor:
            step = self.calls + self.first
            loss = super().forward(*rows)
            return loss * float("nan") if self.training and 40 <= step < 45 else loss

    runs = []
    for pauses in ([None], [36, None]):
        run = new_run(tmp_path / str(len(pauses)), table)
        first = 0
        for at in pauses:
            torch.manual_seed(7)
            flow = build(run.config, run.schema)
            objective = Failing(flow, at)
            objective.first = first
            history = fit(flow, table.train, table.valid, loss=objective, run=run, resume=True, **OPTIONS)
            first = history.steps
        assert history.rollbacks == 1
        runs.append(run)
    assert_same(*runs)


def test_early_stopping_counts_on(table, tmp_path):
    """Patience, too, is as if nothing had happened."""
    runs = [new_run(tmp_path / name, table) for name in "ab"]
    options = {"lr": 0.5, "patience": 2, "every": 10, "warmup": 0}
    _, alone = train(runs[0], table, **options)
    train(runs[1], table, at=alone.steps - 5, **options)
    _, resumed = train(runs[1], table, resume=True, **options)
    assert alone.stopped == resumed.stopped == "patience" and alone.steps == resumed.steps < 120
    assert_same(*runs)


def test_longer_than_asked_before(whole, table, tmp_path):
    run = new_run(tmp_path / "run", table)
    train(run, table, steps=60)
    _, history = train(run, table, resume=True, steps=80)
    assert history.steps == 80


def test_time_limit_is_written_down(table, tmp_path):
    run = new_run(tmp_path / "run", table)
    _, history = train(run, table, steps=None, every=None, time_limit=1.5)
    assert history.steps > 30 and Run.load(run.path).config["train"]["steps"] == pytest.approx(history.steps, rel=0.5)
    _, again = train(run, table, steps=None, every=None, time_limit=1.5, resume=True)
    assert again.steps == history.steps


def test_run_directory(whole, table, tmp_path):
    run = Run.load(whole.path)
    assert run.config == {**CONFIG, "train": {"steps": 120, "compile": "no", "precision": "no"}}
    assert run.schema.to_json() == table.schema.to_json()
    assert sorted(p.name for p in run.path.iterdir()) == [
        ".lock",
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
        "schema.json",
        "state",
    ]
    assert [r["step"] for r in run.metrics()] == [0, 25, 50, 75, 100, 120]
    x = run.flow.sample((3,), table.test.context[:2])
    assert x.shape == (3, 2, 2) and torch.equal(x[..., 0], x[..., 0].round()) and not run.flow.training
    other = Run.create(tmp_path / "deep" / "run", CONFIG, table.schema)
    with pytest.raises(ValueError, match=r"no model.safetensors yet; train it further with fit --resume"):
        other.flow  # noqa: B018
    other.save(run.flow)
    assert all(torch.equal(a, b) for a, b in zip(other.flow.parameters(), run.flow.parameters()))


def test_existing_directories(table, tmp_path):
    run = new_run(tmp_path / "run", table)
    run.log({"step": 0})
    with pytest.raises(ValueError, match="exists; use --overwrite to replace it or --resume to go on"):
        new_run(run.path, table)
    assert new_run(run.path, table, overwrite=True).metrics() == []
    precious = tmp_path / "precious"
    precious.mkdir()
    new_run(precious, table)  # an empty directory is no obstacle
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    for path in (tmp_path / "thesis", tmp_path / "thesis" / "thesis.tex"):
        with pytest.raises(ValueError, match=r"is not a run .*, so it is not overwritten"):
            new_run(path, table, overwrite=True)
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "years"
    with pytest.raises(ValueError, match="no such run"):
        Run.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is not a run"):
        Run.load(tmp_path / "thesis")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious", "run", "thesis"]


def test_create_on_a_full_disk_leaves_nothing(table, tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.training.atomic.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*nothing was written"):
        new_run(tmp_path / "run", table)
    assert not list(tmp_path.iterdir())


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_full_disk_keeps_the_previous_checkpoint(whole, table, tmp_path, monkeypatch):
    run = new_run(tmp_path / "run", table)
    train(run, table, at=50)
    before = {p.name: p.read_bytes() for p in (run.state, run.weights)}
    with monkeypatch.context() as patch:
        patch.setattr("pushforward.training.atomic.os.fsync", full)
        with pytest.raises(OSError, match=r"last.safetensors: could not be written \(No space left on device\); the previous one is kept"):
            train(run, table, resume=True)
    assert {p.name: p.read_bytes() for p in (run.state, run.weights)} == before
    assert not list(run.path.rglob("*.tmp"))
    train(run, table, resume=True)
    assert_same(run, whole)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_really_full_disk(whole, table, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no mounting here")
    try:
        run = new_run(disk / "run", table)
        train(run, table, at=50)
        (disk / "ballast").write_bytes(bytes(512 * 1024 - sum(p.stat().st_size for p in disk.rglob("*") if p.is_file()) - 48 * 1024))
        with pytest.raises(OSError, match="No space left on device"):
            train(run, table, resume=True)
        assert Checkpoint.load(run.state).counters.step == 51 and not list(disk.rglob("*.tmp"))
        (disk / "ballast").unlink()
        train(run, table, resume=True)
        assert_same(run, whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_damaged_and_foreign_files(whole, table, tmp_path):
    run = new_run(tmp_path / "run", table)
    train(run, table, at=30)
    state, weights = run.state.read_bytes(), run.weights.read_bytes()
    for damaged in (state[:-1], state[:1000], b"", b"PK not ours", weights):
        run.state.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last.safetensors: truncated or not a checkpoint of a run .* --overwrite"):
            train(run, table, resume=True)
    run.state.write_bytes(state)
    for damaged in (weights[:-1], b"", state):
        run.weights.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model.safetensors: "):
            Run.load(run.path).flow  # noqa: B018
    run.config["model"]["width"] = 8
    with pytest.raises(ValueError, match="checkpoint is that of another model"):
        train(run, table, resume=True)
    with pytest.raises(ValueError, match="expected a model among"):
        build({"model": {"name": "nsff"}}, table.schema)
    for file, match in (("config.toml", "not a TOML file"), ("schema.json", "not valid JSON")):
        (run.path / file).write_text("{ [")
        with pytest.raises(ValueError, match=match):
            Run.load(run.path)
        (run.path / file).write_text((whole.path / file).read_text())


def test_torn_metrics_are_mended(whole, table, tmp_path):
    run = new_run(tmp_path / "run", table)
    train(run, table, at=60)
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 75, "loss": 0, "valid": 0, "lr": 0}) + '\n{"step": 1')
    train(run, table, resume=True)
    assert_same(run, whole)


SCRIPT = """
    import sys, torch
    from pathlib import Path
    from pushforward.core import Flow
    from pushforward.data import Rows, Schema
    from pushforward.distributions import Normal
    from pushforward.transforms import ActNorm, Dequantize
    from pushforward.models import real_nvp
    from pushforward.training import Run, checkpointer, fit
    checkpointer.SAVE = checkpointer.PAUSE = 0.0  # checkpoints all the time, so that kills hit them
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randint(0, 9, (1000, 3), generator=torch.Generator().manual_seed(1)).double()
    flow = real_nvp((3,), steps=2, width=32, depth=1).double().prepend(Dequantize())
    run = Run(Path(sys.argv[1]), {}, None)
    run.path.mkdir(exist_ok=True)
    rows = Rows(x[:800], None, None), Rows(x[800:], None, None)
    fit(real_nvp((3,)).double(), *rows, steps=1, progress=False)  # all that is imported late
    print("ready", flush=True)
    fit(flow, *rows, steps=400, batch=64, every=20, patience=0, run=run, resume=True, progress=False)
    print("done", flush=True)
"""


def run_script(path: Path, after: float | None) -> bool:
    """Run the script, and kill it some seconds after it has set out; whether it came to the end."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        if after is not None:
            time.sleep(after)
            process.kill()
        out, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return "done" in out


@pytest.mark.slow
def test_kill_nine_at_any_moment(tmp_path):
    assert run_script(tmp_path / "whole", None)
    whole = Run(tmp_path / "whole", {}, None)
    seconds = Checkpoint.load(whole.state).counters.seconds
    rng = random.Random(0)
    kills, steps = 0, [0]
    killed = Run(tmp_path / "killed", {}, None)
    while kills < 10:
        if run_script(killed.path, rng.uniform(0.0, 0.3) * seconds):
            for path in killed.path.rglob("*.*"):  # it got to the end before ten kills: once more from the start
                path.unlink()
            continue
        kills += 1
        if killed.state.exists():
            steps.append(Checkpoint.load(killed.state).counters.step)
        if killed.weights.exists():
            safetensors.torch.load_file(killed.weights)
    assert run_script(killed.path, None)
    assert_same(killed, whole)
    assert max(steps) > 0, "all kills came before the first step"


@pytest.mark.slow
def test_two_processes_share_each_batch(tmp_path):
    """Two processes of half a batch take the steps that one takes, up to rounding; and both end with the same weights."""
    script = textwrap.dedent("""
        import os, sys, torch
        from pushforward.core import Flow
        from pushforward.data import Rows
        from pushforward.models import real_nvp
        from pushforward.training import fit
        torch.set_num_threads(1)
        torch.manual_seed(int(os.environ.get("RANK", 0)))  # different starts: the first process's counts
        generator = torch.Generator().manual_seed(1)
        x, weight = torch.randn(1000, 3, generator=generator).double(), torch.rand(1000, generator=generator).double()
        flow = real_nvp((3,), steps=2, width=32, depth=1).double()
        rows = Rows(x[:800], None, weight[:800]), Rows(x[800:], None, weight[800:])
        history = fit(flow, *rows, steps=60, batch=64, every=20, progress=False)
        total = sum(p.double().sum().item() for p in flow.parameters())
        with open(sys.argv[1] + os.environ.get("RANK", "alone"), "w") as file:  # stdout would mix their lines
            print(history.best, total, file=file)
    """)
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    script_and_out = [str(tmp_path / "script.py"), str(tmp_path / "out-")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *script_and_out]
    for command in (launch, [sys.executable, *script_and_out]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two, alone = ([float(v) for v in (tmp_path / f"out-{name}").read_text().split()] for name in ("0", "1", "alone"))
    assert one == two and one == pytest.approx(alone, rel=1e-10)


def test_initialize_and_noise_are_pure_functions_of_the_seed():
    """Whatever the caller's random state: the data-dependent start, the rows and the dequantization noise."""
    flows = []
    for caller in (1, 2):
        flow = Flow(Normal((2,)), Dequantize(), ActNorm(2), Elementwise(Affine(), (2,)))
        torch.manual_seed(caller)
        x = torch.arange(200.0).reshape(100, 2) % 7
        fit(flow, Rows(x, None, None), Rows(x, None, None), steps=10, batch=16, progress=False)
        flows.append(flow)
    for a, b in zip(flows[0].state_dict().values(), flows[1].state_dict().values()):
        assert torch.equal(a, b)
    assert isinstance(real_nvp((2,)), Flow)
