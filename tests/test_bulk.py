"""Folders of part files: the answers of one file, whoever makes them, however often they are stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mixed import mixed_table

import pushforward as pf
from pushforward.bulk import Job, Scoring, engines, shards_of, shards_to_draw
from pushforward.cli import main
from pushforward.verbs import plan_scoring
from pushforward.verbs.runs import read_results

ROWS = 600


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An any-order model of the mixed table, hardly trained."""
    options = ["train.steps=5", "train.batch=64", "model.width=16", "model.depth=1"]
    return pf.fit(
        mixed_table(ROWS), "any_order", out=tmp_path_factory.mktemp("bulk") / "run", options=options, report=False, progress=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The table in three files of one, two and no row groups."""
    folder, table = tmp_path_factory.mktemp("rows"), mixed_table(ROWS)
    pq.write_table(table.slice(0, 150), folder / "a.parquet")
    pq.write_table(table.slice(150), folder / "b.parquet", row_group_size=300)
    pq.write_table(table.slice(0, 0), folder / "c.parquet")
    return folder


def joined(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def scoring(run, **options) -> Scoring:
    return Scoring(tuple(read_results(run).quantiles), **options)


def command(arguments: list[str]) -> None:
    """The command line, which ends well."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def test_shards_are_runs_of_row_groups(folder):
    found = [(shard.name, shard.first, shard.rows, shard.groups) for shard in shards_of("score", folder, 300)]
    assert found == [
        ("00000-a.parquet", 0, 150, (0, 1)),
        ("00001-b.parquet", 0, 300, (0, 1)),
        ("00002-b.parquet", 300, 150, (1, 2)),
        ("00003-c.parquet", 0, 0, (0, 1)),
    ]
    assert [shard.groups for shard in shards_of("score", folder / "b.parquet", 450)] == [(0, 2)]
    assert [(shard.first, shard.rows) for shard in shards_to_draw(25, 10)] == [(0, 10), (10, 10), (20, 5)]


@pytest.mark.parametrize("asked", [{}, {"columns": ["price"], "given": ["word"]}], ids=["whole", "some"])
def test_a_folder_has_the_scores_of_a_file(run, folder, tmp_path, asked):
    whole = pf.score(run, mixed_table(ROWS), tmp_path / "one.parquet", **asked)
    parts = pf.score(run, folder, tmp_path / "parts", **asked)
    one, many = pq.read_table(tmp_path / "one.parquet"), joined(tmp_path / "parts")
    np.testing.assert_allclose(many["log_likelihood"].to_numpy(), one["log_likelihood"].to_numpy(), rtol=1e-9)
    assert many.drop_columns(["log_likelihood", "bits", *({"percentile", "column"} & {*many.column_names})]).equals(
        one.drop_columns(["log_likelihood", "bits", *({"percentile", "column"} & {*one.column_names})])
    )
    assert (parts.rows, parts.missing, parts.impossible, parts.kind) == (whole.rows, whole.missing, whole.impossible, whole.kind)
    assert parts.nats == pytest.approx(whole.nats, rel=1e-9) and parts.unusual == (whole.unusual if not asked else 0)


def test_what_is_there_is_not_made_again(run, folder, tmp_path):
    job = Job(run, scoring(run), shards_of("score", folder, 300), tmp_path / "parts").run(progress=False)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(job.folder.glob("*.parquet"))}
    assert len(before) == 4
    (job.folder / "00001-b.parquet").unlink()
    Job(run, scoring(run), shards_of("score", folder, 300), tmp_path / "parts").run(progress=False)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(job.folder.glob("*.parquet"))}
    assert {name: content for name, (_, content) in after.items()} == {name: content for name, (_, content) in before.items()}
    assert [name for name in after if after[name][0] != before[name][0]] == ["00001-b.parquet"]


def test_two_processes_make_the_same_files(run, folder, tmp_path):
    for workers in (1, 2):
        Job(run, scoring(run), shards_of("score", folder, 300), tmp_path / str(workers)).run(workers=workers, progress=False)
    one, two = ({path.name: path.read_bytes() for path in sorted((tmp_path / str(n)).glob("*.parquet"))} for n in (1, 2))
    assert len(one) == 4 and one == two


def test_gaps_are_filled_and_columns_predicted(run, folder, tmp_path):
    table = mixed_table(ROWS)
    filled = pf.impute(run, folder, tmp_path / "filled", draws=1)
    assert filled.count_rows() == ROWS
    heights = joined(tmp_path / "filled")["height"].to_pandas()
    known = table["height"].to_pandas()
    assert heights.notna().all() and known.isna().any() and (heights[known.notna()] == known[known.notna()]).all()
    pf.predict(run, folder, "price", tmp_path / "predicted")
    one = pf.predict(run, table, "price")
    many = joined(tmp_path / "predicted")
    assert many.column_names == one.column_names
    np.testing.assert_allclose(many["price_log_density"].to_numpy(), one["price_log_density"].to_numpy(), rtol=1e-9)


def test_samples_of_any_number(run, tmp_path):
    first = pf.sample(run, 1_000, tmp_path / "samples", seed=3)
    assert first.count_rows() == 1_000 and {*first.schema.names} >= {"word", "price"}
    (part,) = (tmp_path / "samples").glob("*.parquet")
    content = part.read_bytes()
    part.unlink()
    pf.sample(run, 1_000, tmp_path / "samples")  # the folder's own seed
    assert part.read_bytes() == content
    pf.sample(run, 1_000, tmp_path / "others", seed=4)
    assert joined(tmp_path / "others") != joined(tmp_path / "samples")


def test_other_jobs_and_other_folders_are_left_alone(run, folder, tmp_path):
    pf.score(run, folder, tmp_path / "parts")
    for change in ({"samples": 2}, {"seed": 1}, {"columns": ["price"]}):
        with pytest.raises(ValueError, match="the part files of another job"):
            pf.score(run, folder, tmp_path / "parts", **change)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match=r"holds 'letter\.txt', which is no part file"):
        pf.score(run, folder, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_damaged_file_is_named_and_costs_no_other_part(run, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    for name in "ab":
        pq.write_table(mixed_table(ROWS), rows / f"{name}.parquet", row_group_size=300)
    content = bytearray((rows / "b.parquet").read_bytes())
    content[200:400] = bytes(200)
    (rows / "b.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.parquet"):
        Job(run, scoring(run), shards_of("score", rows, 300), tmp_path / "parts").run(progress=False)
    assert {path.name for path in (tmp_path / "parts").glob("*.parquet")} == {"00000-a.parquet", "00001-a.parquet"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rows.csv", "-o", "parts"], "a folder of part files is made of Parquet files"),
        (["nowhere.parquet", "-o", "parts"], "there is no file"),
        (["ROWS", "-o", "out.parquet", "--workers", "2"], "give one: -o FOLDER"),
        (["ROWS", "-o", "parts", "--columns", "prise"], "did you mean 'price'"),
    ],
    ids=["csv", "nowhere", "file", "column"],
)
def test_what_is_wrong_is_said_before_anything_is_made(run, folder, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("word,price\na,1\n")
    with pytest.raises(SystemExit) as ended:
        main(["score", str(run.path), *(str(folder) if word == "ROWS" else word for word in arguments)])
    assert ended.value.code == 2 and words in capsys.readouterr().err
    assert not Path("parts").exists()


def test_what_scoring_would_cost(run, folder, tmp_path, monkeypatch, capsys):
    """The time is of all rows at the measured rate, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    found = plan_scoring(run, folder, rows=10**9, workers=(1, 4))
    assert found.rows == 10**9 and 0 < found.measured <= 150 and found.rate > 0
    assert found.seconds[1] == pytest.approx(10**9 / found.rate) and found.seconds[4] == pytest.approx(found.seconds[1] / 4)
    command(["score", str(run.path), str(folder), "-o", "parts", "--dry-run"])
    assert f"{ROWS} rows at" in capsys.readouterr().out and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="holds no row"):
        plan_scoring(run, folder / "c.parquet")


def test_without_ray_the_remedy_is_said(run, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="or --engine local"):
        pf.score(run, folder, tmp_path / "parts", engine="ray")


def test_the_command_line_tells_what_it_made(run, folder, tmp_path, capsys):
    command(["score", str(run.path), str(folder), "-o", str(tmp_path / "parts")])
    assert f"{ROWS} rows in {tmp_path / 'parts'}: mean log-likelihood" in capsys.readouterr().out
    command(["impute", str(run.path), str(folder), "-o", str(tmp_path / "filled")])
    command(["sample", str(run.path), "-n", "50", "-o", str(tmp_path / "samples")])
    assert capsys.readouterr().out == f"{ROWS} rows in {tmp_path / 'filled'}\n50 samples in {tmp_path / 'samples'}\n"


KILLED = """
import sys
from pathlib import Path
from pushforward.bulk import Job, Scoring, shards_of
from pushforward.training import Run
from pushforward.verbs import plan_scoring
from pushforward.verbs.runs import read_results

if __name__ == "__main__":
    run, rows, out, workers = sys.argv[1:]
    run = Run.load(run)
    Job(run, Scoring(tuple(read_results(run).quantiles)), shards_of("score", rows, 100), Path(out)).run(workers=int(workers))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_called_again(run, tmp_path, workers):
    """SIGKILL in the middle: no process is left behind, and the files in the end are those of a job that nobody stopped."""
    rows, script = tmp_path / "rows.parquet", tmp_path / "job.py"
    pq.write_table(mixed_table(20_000), rows, row_group_size=100)
    script.write_text(KILLED)

    def begin(out: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, str(script), str(run.path), str(rows), str(tmp_path / out), str(workers)])

    assert begin("whole").wait(300) == 0
    parts, killed = tmp_path / "parts", begin("parts")
    while len(list(parts.glob("*.parquet"))) < 20:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    there = len(list(parts.glob("*.parquet")))
    assert there < 200
    time.sleep(3)  # workers end with their parent
    assert len(list(parts.glob("*.parquet"))) <= there + workers
    assert begin("parts").wait(300) == 0
    assert [p.name for p in sorted(parts.iterdir()) if p.suffix == ".tmp"] == []
    whole, again = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.parquet")} for name in ("whole", "parts"))
    assert len(whole) == 200 and whole == again


@pytest.mark.slow
def test_a_ray_cluster_makes_the_same_files(run, folder, tmp_path):
    pytest.importorskip("ray")
    process = multiprocessing.get_context("spawn").Process(target=on_a_cluster, args=(run.path, folder, tmp_path))
    process.start()
    process.join(500)
    assert process.exitcode == 0
    Job(run, scoring(run), shards_of("score", folder, 300), tmp_path / "local").run(engine_name="local", workers=1, progress=False)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.parquet")} for name in ("local", "ray"))
    assert len(one) == 4 and one == two


def on_a_cluster(path: Path, folder: Path, out: Path) -> None:
    """In a process of its own, without ``ray.shutdown``: a thread of Ray Data that asks for something after it would end the tests."""
    import ray

    warnings.simplefilter("ignore")  # of Ray, about itself
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    run = pf.load(path)
    Job(run, scoring(run), shards_of("score", folder, 300), out / "ray").run(engine_name="ray", workers=2, progress=False)
    (out / "ray" / "00001-b.parquet").unlink()
    Job(run, scoring(run), shards_of("score", folder, 300), out / "ray").run(engine_name="ray", workers=2, progress=False)
    with pytest.raises(ValueError, match="no column 'prise'"):
        Job(run, scoring(run, columns=("prise",)), shards_of("score", folder, 300), out / "wrong").run(engine_name="ray", workers=2)
    os._exit(0)


def test_engines_are_told_apart(run, folder, tmp_path):
    with pytest.raises(ValueError, match="expected the engine local or ray"):
        pf.score(run, folder, tmp_path / "parts", engine="dask")
    assert list(engines.engine("local", 1, (str(run.path), scoring(run), str(tmp_path)), [])) == []
