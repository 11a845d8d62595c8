"""Where rows come from, how they are split, and what bad input says."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch
from test_data import N, columns

from pushforward.data import EMBEDDED, DataError, load


def simple(n: int = 40) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"a": rng.normal(size=n), "b": rng.integers(0, 9, n), "word": rng.choice(["x", "y"], n)})


# --- splits ---


def test_split_protocol():
    x = np.random.default_rng(1).normal(size=(103, 2))
    data = load(x, seed=5)
    order = np.random.default_rng(5).permutation(103)
    np.testing.assert_array_equal(torch.cat([data.train.x, data.valid.x, data.test.x]).numpy(), x[order])
    assert (len(data.train), len(data.valid), len(data.test)) == (82, 10, 11)
    assert data.schema.names == ["x0", "x1"]
    np.testing.assert_allclose([column.mean for column in data.schema.columns], x[order[:82]].mean(0))


def test_given_splits():
    x = np.random.default_rng(1).normal(size=(100, 2))
    data = load(x[:60], valid=x[60:80], test=x[80:])
    assert len(data.train) == 60 and np.array_equal(data.valid.x, x[60:80]) and np.array_equal(data.test.x, x[80:])
    data = load(x[:80], test=x[80:])
    assert (len(data.train), len(data.valid), len(data.test)) == (72, 8, 20)


def test_weights():
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.normal(size=50), "w": rng.uniform(size=50)})
    data = load(table, weight="w")
    assert data.schema.names == ["a"] and data.train.weight.shape == (40,) and len(data.test.weight) == 5
    with pytest.raises(DataError, match="must not be negative"):
        load(pa.table({"a": rng.normal(size=50), "w": -np.ones(50)}), weight="w")


# --- sources ---


def write(path: Path, table: pa.Table) -> None:
    numbers = np.stack([table[name].to_numpy() for name in ("a", "b")], 1)
    match path.suffix:
        case ".csv":
            pyarrow.csv.write_csv(table, path)
        case ".tsv":
            pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(delimiter="\t"))
        case ".parquet":
            pyarrow.parquet.write_table(table, path)
        case ".feather":
            pyarrow.feather.write_feather(table, path)
        case ".arrow":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
        case ".npy":
            np.save(path, numbers)
        case ".npz":
            np.savez(path, a=numbers[:, 0], b=numbers[:, 1])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".arrow", ".feather", ".npy", ".npz"])
def test_every_format(ending, tmp_path):
    table, path = simple(), tmp_path / f"t{ending}"
    write(path, table)
    data = load(str(path))
    assert data.name == f"t{ending}" and data.schema.names[:2] == (["x0", "x1"] if ending == ".npy" else ["a", "b"])
    assert [column.kind.name for column in data.schema.columns][:2] == ["real", "integer"]
    everything = torch.cat([data.train.x, data.valid.x, data.test.x])[:, 0].sort().values
    np.testing.assert_array_equal(everything, np.sort(table["a"].to_numpy()))
    if ending not in (".npy", ".npz"):
        assert data.schema.columns[2].vocabulary == ("x", "y")


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, lambda x: torch.as_tensor(x).float(), lambda x: pd.DataFrame(x)])
def test_objects(make):
    x = np.random.default_rng(0).normal(size=(40, 3))
    data = load(make(x))
    assert data.train.x.shape == (32, 3) and data.train.x.dtype == torch.float64
    assert load(x[:, 0]).schema.shape == (1,)


def test_csv_dialects(tmp_path):
    rows = [f"{i}.5;{i % 7};{'' if i == 3 else i * i}" for i in range(60)]
    (tmp_path / "semicolon.csv").write_text("\n".join(["a;b;c", *rows]))
    data = load(tmp_path / "semicolon.csv", missing="drop")
    assert data.schema.names == ["a", "b", "c"] and any("1 of 60 rows" in note for note in data.notes)
    (tmp_path / "headless.csv").write_text("\n".join(f"{i}.5,{i % 7}" for i in range(60)))
    data = load(tmp_path / "headless.csv")
    assert data.schema.names == ["x0", "x1"] and sum(map(len, (data.train, data.valid, data.test))) == 60
    # what the first megabyte of a file holds does not decide its types
    (tmp_path / "late.csv").write_text("a,b\n" + "\n".join(["1,2"] * 300_000 + ["1.5,2"]))
    assert load(tmp_path / "late.csv").schema.columns[0].vocabulary == ("1", "1.5")
    (tmp_path / "time.csv").write_text("t,a\n" + "\n".join(f"2020-01-01 {i % 24:02}:00:00,{i}.5" for i in range(60)))
    column = load(tmp_path / "time.csv").schema.columns[0]
    assert column.kind.name == "time" and column.step == 3600


def test_embedded():
    for name, dim, rows in (("digits", 64, 1797), ("breast_cancer", 30, 569), ("wine", 13, 178)):
        data = load(name)
        assert name in EMBEDDED and data.schema.shape == (dim,) and data.entropy is None
        assert sum(map(len, (data.train, data.valid, data.test))) == rows
    assert load("wine", context=["alcohol"]).schema.shape == (12,)


# --- errors ---


def table(**changes) -> pa.Table:
    columns = {"a": list(np.random.default_rng(0).normal(size=40)), "b": [float(i) for i in range(40)], **changes}
    return pa.table({name: pa.array(values) for name, values in columns.items()})


REAL = [0.5 + i for i in range(40)]
ERRORS = {
    "missing file": (lambda: load("nothing.csv"), "there is no file nothing.csv"),
    "ending": (lambda: load("notes.docx"), "unknown ending '.docx'"),
    "no ending, no name": (lambda: load("breastcancer"), "did you mean 'breast_cancer'"),
    "object": (lambda: load(3), "can't read rows from int"),
    "objects": (lambda: load(np.array([[{}, 1]], dtype=object)), "of one sort in each column"),
    "three axes": (lambda: load(np.zeros((30, 2, 2))), "expected numbers of shape"),
    "column": (lambda: load(table(arr_delay=REAL), columns=["arr_dely"]), "no column 'arr_dely'; did you mean 'arr_delay'"),
    "context": (lambda: load(table(arr_delay=REAL), context=["arr_dely"]), "did you mean 'arr_delay'"),
    "kind's column": (lambda: load(table(arr_delay=REAL), kinds={"ar_delay": "real"}), "did you mean 'arr_delay'"),
    "twice": (lambda: load(table(), columns=["a"], context=["a"]), "'a' named more than once"),
    "kind": (lambda: load(table(), kinds={"a": "positve"}), "unknown kind 'positve'.*did you mean 'positive'"),
    "ends": (lambda: load(table(), kinds={"a": "interval:3:1"}), "interval:LOW:HIGH"),
    "text cell": (lambda: load(table(c=["1.5"] * 17 + ["n/a?"] + ["2"] * 22)), "text in a numeric column: row 17 of column 'c'.*'n/a\\?'"),
    "text column": (lambda: load(table(c=["UA", "AA"] * 20), kinds={"c": "real"}), "text in a numeric column: row 0 of column 'c'.*'UA'"),
    "nothing left": (lambda: load(table(), columns=None, context=["a", "b"]), "no column of numbers"),
    "missing": (lambda: load(table(c=[None, math.nan, math.inf, *REAL[3:]], d=[None, *REAL[1:]])), "in 2 of 4 .*c 3, d 1.*--missing drop"),
    "constants": (lambda: load(table(c=[0.1] * 40, d=[2] * 40), columns=["c", "d"]), "'c' is always 0.1, 'd' is always 2"),
    "declared constant": (lambda: load(table(c=[3] * 40), kinds={"c": "real"}), "'c' is always 3.*--exclude c"),
    "few": (lambda: load(table().slice(0, 19)), "19 rows are too few"),
    "few after dropping": (lambda: load(table(c=[None] * 30 + REAL[:10]), missing="drop"), "10 rows are too few"),
    "missing word": (lambda: load(table(), missing="forget"), "must be 'error', 'drop', 'keep' or 'ignore'"),
    "interval": (
        lambda: load(table(c=[0.5] * 39 + [7.25]), kinds={"c": "interval:0:5"}),
        r"row 39 of column 'c'.*7\.25.*outside the levels 0.00..5.00",
    ),
    "positive": (lambda: load(table(c=[*REAL[:8], -2.5, *REAL[9:]]), kinds={"c": "positive"}), r"row 8 of column 'c'.*-2\.5.*positive"),
    "integer": (lambda: load(table(), kinds={"a": "integer"}), "row 0 of column 'a'.*whole numbers"),
    "too big": (lambda: load(table(c=[2**62 + i % 30 for i in range(40)])), "beyond 2\\*\\*53.*--exclude c"),
    "times as numbers": (lambda: load(table(c=[datetime.date(2020, 1, 1)] * 40), kinds={"c": "real"}), "can't be of the kind 'real'"),
    "duplicate names": (lambda: load(pa.table([REAL, REAL], names=["a", "a"])), "more than one column is called 'a'"),
    "list": (lambda: load(table(c=[[1]] * 40), columns=["c"]), "neither number nor time nor text"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, message = ERRORS[name]
    with pytest.raises(DataError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_row_numbers_are_those_of_the_source():
    c = [None, None, *REAL[2:]]
    c[30] = -1.0
    with pytest.raises(DataError, match="row 30 of column 'c'"):
        load(table(c=c), kinds={"c": "positive"}, missing="drop")


def test_broken_files(tmp_path):
    for ending in (".parquet", ".npy", ".npz", ".feather", ".arrow"):
        path = tmp_path / f"broken{ending}"
        path.write_bytes(b"not what it says")
        with pytest.raises(DataError, match="can't be read as"):
            load(path)
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(DataError, match="can't be read as"):
        load(tmp_path / "ragged.csv")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="can't be read as"):
        load(tmp_path / "pickled.npy")


def test_errors_at_score_time():
    data = load(pa.table(columns()), columns=["real", "whole", "hourly", "flag"], context=["code"])
    rows = pa.table(columns())

    def changed(name, values):
        return rows.set_column(rows.column_names.index(name), name, pa.array(values))

    words = rows["code"].to_pylist()
    attempts = {
        "no column 'whole'": rows.drop_columns(["whole"]),
        r"row 2 of column 'code'.*'JFX'.*did you mean 'JFK'": changed("code", [*words[:2], "JFX", *words[3:]]),
        "row 1 of column 'whole'.*0.5.*whole numbers": changed("whole", [1.0, 0.5] + [2.0] * (N - 2)),
        "missing, NaN or infinite values in 1 of 5.*real 1": changed("real", [None] + [1.0] * (N - 1)),
        "text in a numeric column: row 0 of column 'real'": changed("real", ["x"] * N),
        "row 0 of column 'hourly'.*steps of 3,600 seconds": changed("hourly", [datetime.datetime(2020, 1, 1, 0, 30)] * N),
        "column 'hourly' holds double instead of times": changed("hourly", [1.5] * N),
        "column 'real' holds timestamp": changed("real", [datetime.datetime(2020, 1, 1)] * N),
        "row 0 of column 'flag' .*a value that was not there in training": changed("flag", [2] * N),
        r"expected 5 columns \(real, whole, hourly, flag, code\), got 3": np.zeros((4, 3)),
    }
    for message, attempt in attempts.items():
        with pytest.raises(DataError, match=message):
            data.schema.encode(attempt)
    x, context = data.schema.encode(rows.drop_columns(["code"]), context=False)
    assert x.shape == (N, 4) and context is None
    assert load(np.random.default_rng(0).normal(size=(50, 3))).schema.encode(np.zeros((4, 3)))[0].shape == (4, 3)


def test_missing_rows_are_found():
    data = load(table(c=REAL))
    rows = table(c=[None, math.nan, *REAL[2:]], other=[None] * 40)
    np.testing.assert_array_equal(np.flatnonzero(data.schema.missing(rows)), [0, 1])
