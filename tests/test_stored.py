"""Tables larger than memory: every row is trained on or held out, once, whatever the sample did not show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mixed import mixed_table

import pushforward as pf
from pushforward.data import load, stored
from pushforward.data.errors import DataError
from pushforward.training.schedule import EpochOrder, WindowOrder

ROWS = 3_000


@pytest.fixture
def small(monkeypatch):
    """What is large begins at a thousand numbers, and a sample has 300 rows."""
    monkeypatch.setattr(stored, "LARGE", 1_000)
    monkeypatch.setattr(stored, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(stored, "ROWS_AT_ONCE", 257)
    monkeypatch.setattr(stored, "FEW", 8)


def surprising() -> pa.Table:
    """The mixed table with values that a sample has hardly any chance to see: each in one row of its own."""
    table = mixed_table(ROWS).to_pandas()
    table["count"] = np.random.default_rng(1).integers(0, 9, ROWS)
    table.loc[17, "word"] = "once"
    table.loc[1_234, "count"] = 1_000
    table.loc[2_500, "price"] = 3.141
    table["full"] = np.random.default_rng(2).standard_normal(ROWS)
    table.loc[2_999, "full"] = None
    return pa.Table.from_pandas(table, preserve_index=False)


def files(folder, table: pa.Table) -> str:
    """The table in two files."""
    pq.write_table(table.slice(0, 1_000), folder / "a.parquet", row_group_size=400)
    pq.write_table(table.slice(1_000), folder / "b.parquet")
    return str(folder)


def counted(*tables: pa.Table) -> Counter:
    return Counter(str(row) for table in tables for row in table.to_pylist())


@pytest.mark.parametrize("context", [(), ("word",)], ids=["data", "context"])
def test_every_row_is_in_one_split_and_comes_back(small, tmp_path, context):
    table = surprising()
    data = load(files(tmp_path, table), missing="keep", context=context)
    assert data.stored is not None and data.lesson is data.stored
    assert (len(data.lesson), len(data.valid), len(data.test)) == (ROWS - 600, 300, 300)
    found = [rows.to_table(data.schema).select(table.column_names) for rows in (data.lesson, data.valid, data.test)]
    whole = load(table, missing="keep", context=context)
    expected = [rows.to_table(whole.schema).select(table.column_names) for rows in (whole.train, whole.valid, whole.test)]
    assert counted(*found) == counted(*expected)
    assert {column.name: type(column.kind) for column in data.schema.columns} == {c.name: type(c.kind) for c in whole.schema.columns}
    assert counted(data.train.to_table(data.schema).select(table.column_names)).keys() <= counted(*found).keys()


def test_the_same_seed_gives_the_same_rows(small, tmp_path):
    source = files(tmp_path, surprising())
    one, two, other = (load(source, missing="keep", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.lesson.x.nan_to_num(), two.lesson.x.nan_to_num()) and torch.equal(
        one.test.x.nan_to_num(), two.test.x.nan_to_num()
    )
    assert not torch.equal(one.test.x.nan_to_num(), other.test.x.nan_to_num())


def test_rows_with_gaps_are_dropped_or_refused(small, tmp_path):
    source = files(tmp_path, surprising())
    complete = load(source, missing="drop")
    gaps = sum(None in row.values() for row in surprising().to_pylist())
    assert len(complete.lesson) + len(complete.valid) + len(complete.test) == ROWS - gaps
    assert not complete.lesson.x.isnan().any()
    with pytest.raises(DataError, match="missing, NaN or infinite values"):
        load(source)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"split": "price"}, "are split at random"), ({"group": "word"}, "are split at random"), ({"kinds": {"price": "integer"}}, "price")],
    ids=["split", "group", "kind"],
)
def test_what_can_not_be_is_said(small, tmp_path, options, words):
    with pytest.raises(DataError, match=words):
        load(files(tmp_path, surprising()), missing="keep", **options)


def test_without_room_on_the_disk(small, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1}))
    with pytest.raises(DataError, match="set TMPDIR to a folder with more room"):
        load(files(tmp_path, surprising()), missing="keep")


def test_a_fit_learns_from_all_rows_and_goes_on(small, tmp_path):
    """Batches come from the file; a run that goes on encodes the rows anew, and they are the same ones."""
    (tmp_path / "rows").mkdir()
    source, out = files(tmp_path / "rows", surprising()), tmp_path / "run"
    options = ["train.batch=64", "model.width=16", "model.depth=1", "train.patience=0", "train.steps=40"]
    asked = {"options": options, "missing": "keep", "report": False, "progress": False}
    first = pf.fit(source, "any_order", out=out, **asked).flow.log_prob(load(source, missing="keep").test.x).mean()
    seen = pf.plan(source, "any_order", missing="keep")
    assert seen.rows == ROWS - 600
    longer = pf.fit(source, out=out, resume=True, options=["train.steps=80"], report=False, progress=False)
    assert max(record["step"] for record in longer.metrics()) == 80
    assert longer.flow.log_prob(load(source, missing="keep").test.x).mean() > first
    pq.write_table(surprising().slice(100, 50), tmp_path / "rows" / "a.parquet")  # other rows are drawn now, and those held out would train
    with pytest.raises(ValueError, match="has changed since the fit, and is too large"):
        pf.evaluate(longer)


@pytest.mark.parametrize(
    ("rows", "batch", "window", "block"), [(100, 7, 40, 10), (103, 10, 40, 10), (64, 64, 16, 8), (5, 2, 100, 10), (1_000, 33, 5, 10)]
)
def test_windows_visit_each_row_once_a_pass(rows, batch, window, block):
    order = WindowOrder(rows, batch, 0, window, block)
    visited = torch.cat([order(step) for step in range(3 * rows // batch + 1)])
    for turn in range(3):
        assert visited[turn * rows : (turn + 1) * rows].sort().values.tolist() == list(range(rows))
    assert not rows > 50 or not torch.equal(visited[:rows], visited[rows : 2 * rows])
    again = WindowOrder(rows, batch, 0, window, block)
    for step in (7, 0, 3):
        assert torch.equal(again(step), order(step)), "a function of seed and step alone"
    assert len(order(0)) == min(batch, rows) == len(EpochOrder(rows, batch, 0)(0))


def test_a_window_holds_whole_blocks_from_everywhere():
    order = WindowOrder(10_000, 100, 0, window=1_000, block=10)
    rows = torch.cat([order(step) for step in range(10)])
    assert len((rows // 10).unique()) == 100, "a hundred whole blocks"
    assert rows.min() < 500 and rows.max() > 9_500
    assert rows.float().sub(rows.float().mean()).abs().mean() > 2_000
    inside = (rows[1:] - rows[:-1] == 1).float().mean()
    assert inside < 0.05, "shuffled within the window"


# Memory of its own, not the file's pages, which the system takes back when it needs them; nor what allocators keep that was freed.
AT_ONCE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "ARROW_DEFAULT_MEMORY_POOL": "system"}
FITTED = """
import json, sys, threading
import pushforward as pf
from pushforward.data import stored

def own():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

small, path, out = sys.argv[1:]
stored.LARGE, stored.SAMPLE_ROWS, stored.HELD_ROWS, stored.WINDOW = 10_000, 20_000, 2_000, 2**14

def fit(path, out):
    options = ["train.steps=200", "train.batch=512", "model.width=32", "train.patience=0"]
    return pf.fit(path, "maf", out=out, options=options, report=False, progress=False)

fit(small, out + "-small")  # code and what the first fit leaves behind
before, peak, done = own(), [0], threading.Event()

def look():
    while not done.wait(0.005):
        peak[0] = max(peak[0], own())

thread = threading.Thread(target=look)
thread.start()
run = fit(path, out)
pf.score(run, path, out + "-parts")
done.set()
thread.join()
print(json.dumps({"grown": peak[0] - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """A folder of Parquet files, fitted and scored; and one of ten times as many rows, for which it takes hardly any more."""
    rng = np.random.default_rng(0)
    for name, count in (("small", 1), ("tenth", 2), ("all", 20)):
        (tmp_path / name).mkdir()
        for i in range(count):
            columns = {f"x{j}": rng.standard_normal(50_000) for j in range(40)}
            pq.write_table(pa.table(columns), tmp_path / name / f"{i}.parquet")

    def grown(name: str) -> int:
        command = [sys.executable, "-c", FITTED, str(tmp_path / "small"), str(tmp_path / name), str(tmp_path / f"run-{name}")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **AT_ONCE})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["grown"]

    tenth, whole = grown("tenth"), grown("all")
    assert whole - tenth < 20 * 50_000 * 40 * 8 / 10, (tenth, whole)
