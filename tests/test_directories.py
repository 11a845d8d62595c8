"""Nothing is lost: no call removes what it did not make, and one training at a time writes into a directory."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from kill_and_resume import chains

import pushforward as pf
from pushforward.training.atomic import replace
from pushforward.training.lock import reserve

ROWS = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double().numpy()
TINY = ("model.steps=1", "model.width=4", "model.depth=1")


def fit(out: Path, *options: str, data: object = ROWS, **more: object) -> pf.Run:
    return pf.fit(data, "maf", out=out, options=(*TINY, *(options or ["train.steps=3"])), report=False, progress=False, **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pf.Run:
    return fit(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: pf.Run, tmp_path: Path) -> pf.Run:
    subprocess.run(["cp", "-r", finished.path, tmp_path / "run"], check=True)
    return pf.Run.load(tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def test_fit_touches_only_its_own_directory(tmp_path):
    for name in ("run.tmp", "run.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("years")
    fit(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    fit(tmp_path / "run", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.old", "run.tmp"]
    assert contents(tmp_path / "run.tmp") == contents(tmp_path / "run.old") == {"thesis.tex": b"years"}
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine", "overwriting replaces the run's files alone"


@pytest.mark.parametrize("option", ["train.steps=0", "train.lr=-1", "train.precision=half", "model.steps=-1", "model.width=8"])
@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_refused_options_leave_a_finished_run(run, option, how):
    (run.path / "state" / "last.safetensors").unlink()
    before = contents(run.path)
    if (option, how) != ("model.width=8", "overwrite"):  # which is no mistake
        with pytest.raises(ValueError, match=option.split("=")[0].split(".")[1]):
            fit(run.path, option, **{how: True})
        assert contents(run.path) == before


def test_a_run_that_never_began_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="lr"):
        fit(tmp_path / "a" / "run", "train.lr=-1")
    with pytest.raises(ValueError, match="there is no"):
        fit(tmp_path / "a" / "run", data="no_such.csv")
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(run, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(run.path)
    fit(link, overwrite=True)
    assert link.is_symlink() and (run.path / "model.safetensors").exists()
    (tmp_path / "samples.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    pf.sample(run, 5, tmp_path / "samples.parquet")
    assert (tmp_path / "samples.parquet").is_symlink() and pq.read_table(tmp_path / "elsewhere.parquet").num_rows == 5


def test_files_beside_the_one_written(tmp_path):
    (tmp_path / "a.txt.tmp").write_text("mine")
    replace(tmp_path / "a.txt", lambda path: path.write_text("new"))
    assert (tmp_path / "a.txt.tmp").read_text() == "mine" and (tmp_path / "a.txt").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match="is not a regular file, so it is not replaced"):
            replace(path, lambda path: path.write_text("new"))
    assert Path("/dev/null").is_char_device()


def test_one_training_at_a_time(run):
    """Another process holds the directory: fit, resume and overwrite are refused; when it is killed they are not."""
    held = "import sys, time\nfrom pushforward.training.lock import reserve\n"
    held += "with reserve(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)"
    before = contents(run.path)
    with subprocess.Popen([sys.executable, "-c", held, str(run.path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ValueError, match="another training is writing into it; wait until it ends, or choose another place"):
                fit(run.path, **options)
        assert pf.sample(run, 3).num_rows == 3, "reading needs no lock"
        other.kill()
    assert contents(run.path) == before
    fit(run.path, overwrite=True)


def test_leftovers_of_a_kill_are_swept(run):
    leftover = run.path / "state" / ".last.safetensors.0123456789abcdef.tmp"
    mine = run.path / ".thesis.tmp"
    for path in (leftover, mine):
        path.write_text("half")
    with reserve(run.path):
        pass
    assert mine.exists() and not leftover.exists()


def test_killed_before_it_was_a_run(tmp_path):
    """What a kill between the first two files leaves is started anew, by resume too."""
    with reserve(tmp_path / "run") as path:
        (path / "schema.json").write_text("{")
    assert len(fit(tmp_path / "run", resume=True).metrics()) > 1


def test_train_longer_by_steps_or_by_time(run, capsys):
    steps = run.metrics()[-1]["step"]
    fit(run.path, "train.steps=8", resume=True)
    assert run.metrics()[-1]["step"] == 8 > steps
    before = run.metrics()[-1]["seconds"]
    started = time.perf_counter()
    again = fit(run.path, "train.ema=0.999", resume=True, time_limit=before + 0.6)
    assert run.metrics()[-1]["step"] > 8 and run.metrics()[-1]["lr"] < 5e-3
    assert time.perf_counter() - started < 30 and again.config["train"]["time_limit"] == before + 0.6
    last = run.metrics()[-1]["step"]
    capsys.readouterr()
    pf.fit(ROWS, "maf", out=run.path, options=TINY, resume=True, report=False)
    assert run.metrics()[-1]["step"] == last
    assert f"had come to its end, after {last:,} steps" in capsys.readouterr().err


def test_longer_courses_are_as_if_planned_so():
    plan = pf.training.schedule.course(1000, 1000, 10, lambda n: 10, 100, None)
    longer = pf.training.schedule.course(3000, 1000, 10, lambda n: 10, 100, None)
    assert plan.rate(1000) == 0 and plan.change(3000, None, 1000, 60.0)
    assert plan.rate(1000) == pytest.approx(longer.rate(1000)) and plan.rate(2000) == pytest.approx(longer.rate(2000))
    assert not plan.change(3000, None, 1500, 90.0) and not plan.change(None, None, 1500, 90.0)
    assert plan.change(None, 200.0, 3000, 150.0) and plan.progress(3100) == 0.75 and plan.end == float("inf")


def test_start_from_the_weights_of_a_run(run, tmp_path):
    """The flow begins as the run's, on other rows, in the run's own scales."""
    rows = torch.randn(400, 2).double() * 3 + 1
    new = pf.fit(rows.numpy(), start=run, out=tmp_path / "new", options=["train.steps=1", "train.lr=1e-9"], report=False, progress=False)
    assert new.config["model"] == run.config["model"] and new.schema == run.schema
    torch.testing.assert_close(new.flow.log_prob(rows), run.flow.log_prob(rows), rtol=1e-5, atol=1e-5)
    gaps = rows.numpy().copy()
    gaps[3, 0] = np.nan
    dropped = fit(tmp_path / "dropped", data=gaps, missing="drop")
    again = pf.fit(gaps, start=dropped, options=["train.steps=1"], report=False, progress=False)
    assert again.config["data"]["missing"] == "drop", "how rows are read is taken over too"
    with pytest.raises(ValueError, match=r"its weights are for model.width = 4, not 16; leave that out"):
        pf.fit(rows.numpy(), start=run, options=["model.width=16"], report=False, progress=False)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    """Weights, metrics and configuration are those of a fit left alone, and no temporary file is left (tests/kill_and_resume.py)."""
    assert [(model, wrong) for model, _, wrong in chains(25, seed=7, folder=tmp_path) if wrong] == []
