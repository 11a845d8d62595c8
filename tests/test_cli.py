"""The command line: every verb on a small table, and every kind of bad input."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from pushforward.cli import main
from pushforward.words import time_span

QUICK = ["model.steps=1", "model.width=8", "train.steps=20", "train.batch=64", "--no-report"]
COLUMNS = ["height", "count", "price", "share"]


def frame(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "height": random.normal(170, 10, rows),
            "count": random.poisson(5, rows),
            "price": random.lognormal(3, 1, rows),
            "share": random.uniform(0.01, 0.99, rows),
            "city": random.choice(["Bern", "Oslo", "Rome"], rows),
        }
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A table and a run fitted to it, given the city."""
    folder = tmp_path_factory.mktemp("cli")
    frame().to_csv(folder / "table.csv", index=False)
    arguments = ["--context", "city", "--kind", "price=positive", "--kind", "share=interval:0:1", "--missing", "drop"]
    main_quietly("fit", str(folder / "table.csv"), "--out", str(folder / "run"), *arguments, *QUICK)
    return folder


def main_quietly(*arguments: str) -> None:
    """The command line, for its effect."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0


@pytest.fixture
def cli(capsys):
    """Runs the command line in this process and gives ``(exit code, stdout, stderr)``."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def test_fit_tells_what_happened(cli, tmp_path, shared):
    code, out, err = cli("fit", shared / "table.csv", "--columns", "height,count", "--out", tmp_path / "run", *QUICK)
    assert code == 0
    assert "240 rows to train" in err and "count" in err, "what was understood of the data"
    for words in ("nats per row", "nsf", "Gaussian mixture", "independent columns", "lower bound, K=1 sample", "Two-sample test"):
        assert words in out
    assert "nats per row above" in out or "tie" in out or "not better" in out, "the verdict"
    assert "pushforward sample" in out and "pushforward score" in out, "what to do next"
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {
        "config.toml",
        "schema.json",
        "model.safetensors",
        "metrics.jsonl",
        "scores.json",
    }


def test_fit_writes_a_report(cli, tmp_path, shared):
    code, out, _ = cli("fit", shared / "table.csv", "--columns", "height,price", "--out", tmp_path / "run", *QUICK[:-1], "--quiet")
    assert code == 0 and f"Report: {tmp_path / 'run' / 'report.html'}" in out
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000 and list((tmp_path / "run" / "figures").glob("*.png"))


def test_json_and_quiet(cli, tmp_path, shared):
    code, out, err = cli("fit", shared / "table.csv", "--columns", "height", "--out", tmp_path / "run", "--json", "--quiet", *QUICK)
    found = json.loads(out)
    assert code == 0 and err == "" and found["run"] == str(tmp_path / "run")
    assert found["scores"][0]["name"] == "nsf" and found["scores"][0]["kind"] == "exact"
    for verb in (("evaluate", tmp_path / "run"), ("doctor", tmp_path / "run"), ("list", "models"), ("list", "data")):
        code, out, _ = cli(*verb, "--json")
        assert code == 0 and json.loads(out)


def test_config_is_resolved(shared):
    run = pf.load(shared / "run")
    assert run.config["model"]["name"] == "nsf" and run.config["model"]["steps"] == 1 and run.config["model"]["bins"] == 8
    assert run.config["train"]["batch"] == 64 and run.config["train"]["seed"] == 0 and "lr" in run.config["train"]
    assert run.config["data"]["context"] == ["city"] and Path(run.config["data"]["source"]).is_absolute()


def test_evaluate(cli, shared):
    code, out, _ = cli("evaluate", shared / "run", "--samples", "4")
    assert code == 0 and "Log-likelihood of 30 rows" in out and "Gaussian" in out and "K=4" in out
    code, out, _ = cli("evaluate", shared / "run", shared / "table.csv")
    assert code == 0 and "Log-likelihood of 300 rows" in out and "Gaussian" not in out


def test_sample_has_the_types_of_the_data(cli, tmp_path, shared):
    code, out, _ = cli("sample", shared / "run", "-n", 50, "--context", "city=Oslo,Rome", "-o", tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert code == 0 and "100 samples" in out
    assert table.column_names == ["city", *COLUMNS]
    assert table["city"].to_pylist() == ["Oslo"] * 50 + ["Rome"] * 50
    assert str(table.schema.field("count").type) == "int64"
    assert min(table["price"].to_pylist()) > 0 and all(0 < v < 1 for v in table["share"].to_pylist())


def test_a_context_may_be_given(cli, tmp_path, shared):
    common = ("sample", shared / "run", "-n", 5, "--seed", 0, "-o")
    assert cli(*common, tmp_path / "a.csv", "--context", "city=Oslo")[0] == cli(*common, tmp_path / "b.csv", "--given", "city=Oslo")[0] == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".arrow", ".feather"])
def test_sample_formats(cli, tmp_path, shared, ending):
    path = tmp_path / f"s{ending}"
    assert cli("sample", shared / "run", "-n", 5, "--context", "city=Oslo", "-o", path)[0] == 0
    assert pf.data.read(path).table.num_rows == 5


def test_sample_to_stdout_and_seeds(cli, shared):
    common = ["sample", shared / "run", "-n", "3", "--context", "city=Oslo"]
    first = cli(*common)[1]
    assert first.startswith('"city","height"') and len(first.splitlines()) == 4
    assert cli(*common)[1] != first, "without a seed the samples are others"
    assert cli(*common, "--seed", "0")[1] == cli(*common, "--seed", "0")[1] != cli(*common, "--seed", "1")[1]


def test_score(cli, tmp_path, shared):
    rows = frame(100, seed=1)
    rows.loc[3, "height"], rows.loc[5, "price"] = 900.0, np.nan
    rows["remark"] = "kept"
    rows.to_parquet(tmp_path / "more.parquet")
    code, out, _ = cli("score", shared / "run", tmp_path / "more.parquet", "-o", tmp_path / "scored.parquet")
    assert code == 0 and "100 rows" in out and "1 without figures" in out
    scored = pd.read_parquet(tmp_path / "scored.parquet")
    assert list(scored.columns) == [*rows.columns, "log_likelihood", "bits", "percentile", "unusual", "column", "reason"]
    assert scored["reason"].fillna("").tolist() == ["price missing" if i == 5 else "" for i in range(100)]
    assert scored["log_likelihood"].isna().tolist() == [i == 5 for i in range(100)]
    assert bool(scored.loc[3, "unusual"]) and scored.loc[3, "percentile"] == 0
    complete = scored.drop(index=5)
    np.testing.assert_allclose(complete["bits"], -complete["log_likelihood"] / np.log(2))
    assert complete["percentile"].between(0, 100).all() and 20 < complete["percentile"].median() < 80
    pd.testing.assert_frame_equal(scored[rows.columns], rows, check_dtype=False)


def test_score_goes_on_where_values_cannot_be(cli, tmp_path, shared):
    """A number outside, a gap and a new word: the file is scored, and each such row has its reason."""
    rows = frame(50, seed=2)
    rows.loc[7, "share"], rows.loc[9, "height"] = 3.0, np.nan
    rows.to_csv(tmp_path / "odd.csv", index=False)
    code, out, _ = cli("score", shared / "run", tmp_path / "odd.csv", "-o", tmp_path / "scored.csv")
    assert code == 0 and "1 hold a value that can't be" in out and "1 without figures" in out
    scored = pd.read_csv(tmp_path / "scored.csv")
    assert scored.loc[7, "reason"] == "share is 3.0" and scored.loc[7, "log_likelihood"] == -np.inf and bool(scored.loc[7, "unusual"])
    assert scored.loc[9, "reason"] == "height missing" and np.isnan(scored.loc[9, "log_likelihood"])
    assert scored.drop(index=[7, 9])["reason"].isna().all() and np.isfinite(scored.drop(index=[7, 9])["log_likelihood"]).all()


def test_score_is_the_flows_own(cli, tmp_path):
    """In pieces or whole, from a file or in memory, the figures are those of ``flow.log_prob``."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    np.save(tmp_path / "x.npy", x)
    assert cli("fit", tmp_path / "x.npy", "--out", tmp_path / "run", "-q", *QUICK)[0] == 0
    run = pf.load(tmp_path / "run")
    expected = run.flow.log_prob(*run.schema.encode(x)).detach()
    np.testing.assert_allclose(pf.score(run, x).table["log_likelihood"].to_numpy(), expected, rtol=1e-6)
    pf.score(run, x, tmp_path / "scored.npy", batch=7)
    np.testing.assert_allclose(np.load(tmp_path / "scored.npy")[:, 2], expected, rtol=1e-5)


def test_presets_and_overrides(cli, tmp_path, shared):
    preset = tmp_path / "small.toml"
    preset.write_text('# for this test\nmodel.name = "real_nvp"\nmodel.steps = 2\nmodel.width = 8\ntrain.steps = 5\n')
    common = ["fit", shared / "table.csv", "--columns", "height,price", "--no-report", "-q"]
    assert cli(*common, "--preset", preset, "--out", tmp_path / "a", "model.width=4")[0] == 0
    assert pf.load(tmp_path / "a").config["model"] == {"name": "real_nvp", "steps": 2, "width": 4, "depth": 2}
    assert cli(*common, "--preset", tmp_path / "a" / "config.toml", "--out", tmp_path / "b")[0] == 0
    assert pf.load(tmp_path / "b").config["model"] == pf.load(tmp_path / "a").config["model"]


@pytest.mark.parametrize("name", pf.list_presets())
def test_shipped_presets_bind(name):
    from pushforward import options, presets, training

    settings = presets.read_preset(name)
    recipe = pf.models.MODELS[settings.pop("model.name")]
    options.parse_options(settings, recipe, training.fit)


def test_resume_and_overwrite(cli, tmp_path, shared):
    common = ["fit", shared / "table.csv", "--columns", "height,price", "--out", tmp_path / "run", "-q", *QUICK]
    assert cli(*common)[0] == 0
    whole = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert cli(*common)[0] == 2, "exists"
    assert cli(*common, "--resume")[0] == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == whole, "there was nothing left to do"
    code, _, err = cli(*common, "--resume", "train.lr=0.5")
    assert code == 2 and "train.lr" in err and "0.001" in err
    assert cli(*common, "--overwrite", "train.steps=10")[0] == 0
    assert pf.load(tmp_path / "run").config["train"]["steps"] == 10


def test_splits_and_weights_that_are_given(cli, tmp_path):
    """The test file is the one that is judged on, and weights count in the mean."""
    rows = frame(300).assign(w=1.0)
    for name, part in {"train": rows, "valid": rows.head(40), "test": rows.head(50).assign(w=[1.0] * 49 + [0.0])}.items():
        part.to_parquet(tmp_path / f"{name}.parquet")
    extra = ["--valid", tmp_path / "valid.parquet", "--test", tmp_path / "test.parquet", "--weight", "w"]
    code, out, err = cli("fit", tmp_path / "train.parquet", "--columns", "height,price", "--out", tmp_path / "run", *extra, *QUICK)
    assert code == 0 and "300 rows to train, 40 to validate, 50 to test" in err and "50 rows" in out
    run = pf.load(tmp_path / "run")
    score = pf.evaluate(run, tmp_path / "test.parquet")
    log_prob = run.flow.log_prob(run.schema.encode(rows.head(49))[0])
    assert score.nats == pytest.approx(log_prob.mean().item(), rel=1e-5)
    assert pf.evaluate(run).nats == pytest.approx(score.nats)


def test_interrupt_and_resume(cli, tmp_path, shared):
    """Ctrl-C ends with the usual exit code, without a verdict, and --resume finishes the run."""
    run = tmp_path / "run"

    def interrupt():
        while not (run / "metrics.jsonl").is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    common = ["fit", shared / "table.csv", "--columns", "height,price", "--out", run, *QUICK, "train.patience=0"]
    threading.Thread(target=interrupt, daemon=True).start()
    code, out, err = cli(*common, "train.steps=100000", "train.every=5")
    assert code == 130 and out == "" and "go on with --resume" in err
    assert not (run / "scores.json").exists()
    steps = pf.training.run.Run.load(run).metrics()[-1]["step"] + 20
    code, out, _ = cli(*common, "--resume", f"train.steps={steps}", "train.every=5")
    assert code == 0 and "nats per row" in out and (run / "scores.json").exists()
    refused(cli(*common, "--resume", "--columns", "height,count", "train.every=5"), ["data.columns"])


def test_time_limit_is_kept_for_resuming(cli, tmp_path, shared):
    common = ["fit", shared / "table.csv", "--columns", "height,price", "--out", tmp_path / "run", "-q", "--no-report", "model.width=8"]
    assert cli(*common, "--time-limit", "1.5s")[0] == 0
    assert pf.load(tmp_path / "run").config["train"]["time_limit"] == 1.5
    assert cli(*common, "--resume")[0] == 0


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("0.5m", 30)])
def test_times(text, expected):
    assert time_span(text) == expected


def test_lists(cli):
    assert "model.mechanism" in cli("list", "models")[1]
    assert "checkerboard" in cli("list", "data")[1] and "digits" in cli("list", "data")[1]
    assert cli("list", "presets")[0] == 0


def edit(folder: Path, change) -> Path:
    rows = frame()
    rows = change(rows)
    path = folder / "changed.csv"
    (rows if isinstance(rows, pd.DataFrame) else frame()).to_csv(path, index=False)
    return path


def with_value(column: str, row: int, value: object):
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows[column] = rows[column].astype(object)
        rows.loc[row, column] = value
        return rows

    return change


BAD_TABLES = {
    "text in a numeric column": (with_value("height", 7, "tall"), [], ["row 7", "'height'", "tall"]),
    "missing values": (with_value("price", 7, None), ["--missing", "error"], ["price 1", "--missing drop"]),
    "infinite values": (with_value("height", 7, np.inf), ["--missing", "error"], ["height 1", "--missing drop"]),
    "constant column": (lambda rows: rows.assign(height=1.5), ["--kind", "height=real"], ["'height'", "always 1.5", "leave it out"]),
    "too few rows": (lambda rows: rows.head(9), [], ["9 rows", "at least"]),
    "outside the interval": (with_value("share", 7, 1.5), ["--kind", "share=interval:0:1"], ["row 7", "'share'", "1.5", "(0, 1)"]),
    "not positive": (with_value("price", 7, -2.0), ["--kind", "price=positive"], ["row 7", "'price'", "-2"]),
    "unknown column": (None, ["--columns", "hieght"], ["'hieght'", "did you mean 'height'?"]),
    "unknown context": (None, ["--context", "town"], ["'town'", "it has height, count"]),
    "unknown weight": (None, ["--weight", "prize"], ["'prize'", "did you mean 'price'?"]),
    "text as numbers": (None, ["--kind", "city=real"], ["row 0", "'city'"]),
    "unknown kind": (None, ["--kind", "price=postive"], ["'postive'", "did you mean 'positive'?"]),
    "kind without a column": (None, ["--kind", "positive"], ["NAME=KIND"]),
    "unknown model": (None, ["--model", "nfs"], ["'nfs'", "did you mean 'nsf'?", "real_nvp"]),
    "unknown model option": (None, ["--model", "nsf", "model.step=8"], ["model.step", "did you mean 'model.steps'?", "nsf takes"]),
    "unknown train option": (None, ["train.rate=8"], ["train.rate", "fit takes train.steps"]),
    "wrong type": (None, ["--model", "nsf", "model.steps=several"], ["model.steps", "expected int", "several"]),
    "impossible model": (None, ["--model", "nsf", "model.steps=-1"], ["model.steps", "at least 0", "-1"]),
    "impossible training": (None, ["train.batch=0"], ["batch"]),
    "no option": (None, ["large"], ["name=value", "large"]),
    "unknown preset": (None, ["--preset", "tabluar"], ["'tabluar'", "presets are"]),
    "no time": (None, ["--time-limit", "soon"], ["--time-limit", "2m", "soon"]),
    "bad missing": (None, ["--missing", "forget"], ["'error', 'drop', 'keep' or 'ignore'", "forget"]),
    "unknown group": (None, ["--group", "town"], ["'town'", "it has height, count"]),
    "words to order by": (None, ["--split", "city"], ["'city' holds words", "--group"]),
    "missing test file": (None, ["--test", "absent.csv"], ["absent.csv", "no file"]),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_and_options(case, cli, tmp_path):
    change, arguments, words = BAD_TABLES[case]
    path = edit(tmp_path, change or (lambda rows: rows))
    refused(cli("fit", path, "--out", tmp_path / "run", "--no-report", *arguments), words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changed.csv"], "nothing half-written"


def refused(outcome: tuple[int, str, str], words: list[str]) -> None:
    """Exit code 2 and one sentence on stderr that has the words; nothing on stdout."""
    code, out, err = outcome
    assert code == 2 and out == "", (code, out, err)
    *talk, sentence = err.splitlines()
    assert sentence.startswith("pushforward: ") and all(word in sentence for word in words), err
    assert not any(line.startswith(("pushforward: ", "Traceback")) for line in talk), err


def test_missing_drop_goes_on(cli, tmp_path):
    path = edit(tmp_path, with_value("price", 7, None))
    code, _, err = cli("fit", path, "--out", tmp_path / "run", "--missing", "drop", "--model", "nsf", *QUICK)
    assert code == 0 and "1 of 300 rows" in err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("absent.parquet", ["absent.parquet", "no file"]),
        ("moon", ["'moon'", "did you mean 'moons'?"]),
        ("table.docx", [".docx", ".parquet"]),
    ],
)
def test_bad_sources(cli, tmp_path, source, words):
    refused(cli("fit", source, "--out", tmp_path / "run"), words)


def test_run_exists(cli, tmp_path, shared):
    refused(cli("fit", shared / "table.csv", "--out", shared / "run"), ["exists", "--overwrite", "--resume"])
    (tmp_path / "notes.txt").write_text("mine")
    refused(cli("fit", shared / "table.csv", "--out", tmp_path, "--overwrite"), ["not a run"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def truncate(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def foreign(run: Path) -> None:
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("width = 8", "width = 9"))


BAD_RUNS = {
    "no run": (shutil.rmtree, ["no such run"]),
    "not a run": (lambda run: (run / "config.toml").unlink(), ["is not a run"]),
    "truncated": (truncate, ["model.safetensors", "truncated"]),
    "foreign": (foreign, ["model.safetensors", "does not fit"]),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), ["no model.safetensors", "--resume"]),
    "broken schema": (lambda run: (run / "schema.json").write_text("{"), ["schema.json"]),
    "broken config": (lambda run: (run / "config.toml").write_text("= 3"), ["config.toml"]),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_runs(case, cli, tmp_path, shared):
    run = Path(shutil.copytree(shared / "run", tmp_path / "run"))
    damage, words = BAD_RUNS[case]
    damage(run)
    refused(cli("sample", run, "--context", "city=Oslo"), words)
    refused(cli("evaluate", run), words)


BAD_USE = {
    "wrong number of columns": (["score", "RUN", "ARRAY", "-o", "OUT.csv"], ["expected 5 columns", "got 2"]),
    "a column less": (["score", "RUN", "LESS", "-o", "OUT.csv"], ["'share'"]),
    "unknown ending": (["score", "RUN", "TABLE", "-o", "OUT.doc"], [".doc", ".parquet"]),
    "no folder": (["score", "RUN", "TABLE", "-o", "OUT/of/reach.csv"], ["no folder"]),
    "onto itself": (["score", "RUN", "TABLE", "-o", "TABLE"], ["another file"]),
    "missing data": (["score", "RUN", "absent.csv", "-o", "OUT.csv"], ["absent.csv"]),
    "no context": (["sample", "RUN", "-n", "5"], ["city (Bern, Oslo, Rome)"]),
    "unknown context": (["sample", "RUN", "--context", "town=Oslo"], ["city", "town"]),
    "unknown value": (["sample", "RUN", "--context", "city=Olso"], ["Olso", "did you mean 'Oslo'?"]),
    "bad sample file": (["sample", "RUN", "--context", "city=Oslo", "-o", "OUT.docx"], [".docx"]),
    "text in npy": (["sample", "RUN", "--context", "city=Oslo", "-o", "OUT.npy"], ["'city'", ".parquet"]),
    "evaluate on other columns": (["evaluate", "RUN", "LESS"], ["'share'"]),
}


@pytest.mark.parametrize("case", BAD_USE)
def test_bad_use(case, cli, tmp_path, shared):
    arguments, words = BAD_USE[case]
    names = {"RUN": shared / "run", "TABLE": shared / "table.csv", "ARRAY": tmp_path / "x.npy", "LESS": tmp_path / "less.csv"}
    np.save(names["ARRAY"], np.zeros((5, 2)))
    frame().drop(columns="share").to_csv(names["LESS"], index=False)
    before = sorted(tmp_path.iterdir())
    refused(cli(*[names.get(a, tmp_path / a if a.startswith("OUT") else a) for a in arguments]), words)
    assert sorted(tmp_path.iterdir()) == before, "nothing half-written"


def test_full_disk(cli, tmp_path, shared):
    """A file system that takes no more: one sentence, and what was there before can still be loaded."""
    common = ["fit", shared / "table.csv", "--columns", "height,price", "--out", tmp_path / "run", "-q", *QUICK]
    assert cli(*common)[0] == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        outcomes = [
            cli(*common, "--resume", "train.steps=40"),
            cli("sample", tmp_path / "run", "-n", 5000, "-o", tmp_path / "s.parquet"),
            cli("sample", tmp_path / "run", "-n", 5000, "-o", tmp_path / "s.csv"),
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    for outcome in outcomes:
        refused(outcome, ["could not be written", "free some space"])
    assert [p.name for p in tmp_path.iterdir()] == ["run"], "nothing half-written"
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert cli("sample", tmp_path / "run", "-n", 5, "-o", tmp_path / "s.csv")[0] == 0


def test_bugs_keep_their_traceback(monkeypatch, shared):
    def broken(*arguments, **options):
        return np.zeros(3).reshape(2, 2)  # a ValueError that is not ours

    monkeypatch.setattr("pushforward.verbs.sample", broken)
    with pytest.raises(ValueError, match="cannot reshape"):
        main(["sample", str(shared / "run")])
    monkeypatch.undo()
    monkeypatch.setenv("PUSHFORWARD_DEBUG", "1")
    with pytest.raises(ValueError, match="no such run"):
        main(["sample", "absent"])


def test_in_memory_and_temporary():
    """Python's fit without ``out``: the run lives as long as the object."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    run = pf.fit(x, options={"model.steps": 1, "model.width": 8, "train.steps": 5}, report=False, progress=False)
    path = run.path
    assert pf.sample(run, 4).num_rows == 4 and pf.results(run)["scores"][0]["name"] == "nsf"
    assert pf.evaluate(run, x).rows == 200
    with pytest.raises(ValueError, match="in memory"):
        pf.evaluate(run)
    del run
    assert not path.exists()


def test_help_is_light():
    """``--help`` imports neither torch nor pyarrow; measured in modules, which do not depend on the machine."""
    code = (
        "import sys\nfrom pushforward.cli import main\ntry: main(['fit', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'pyarrow', 'sklearn', 'matplotlib') if m in sys.modules], file=sys.stderr)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    assert out.stderr.strip() == "[]" and "--time-limit" in out.stdout


def test_the_lists_of_names_agree():
    """What type checkers see, what ``import *`` gives and what the interpreter finds are the same names, fewer than 64."""
    import ast

    tree = ast.parse(Path(pf.__file__).read_text())
    typed = [a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1 for a in node.names]
    assert sorted(typed) == sorted(pf.__all__) == sorted(pf._HOME) and len(pf.__all__) < 64
    for name in pf.__all__:
        assert getattr(pf, name) is not None and name in dir(pf)
    with pytest.raises(AttributeError, match="no attribute"):
        pf.absent  # noqa: B018
