"""Rows from several files, from queries and from objects in memory."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pushforward.data import DataError, is_images, load, read
from pushforward.data.query import is_query

FRAME = pd.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
AB = {"a": [1.5, 2.5], "b": [1, 2]}


def refused(source, *words: str) -> None:
    with pytest.raises(DataError) as error:
        read(source)
    sentence = str(error.value)
    assert all(word in sentence for word in words) and "\n" not in sentence and len(sentence) < 500, sentence


# --- several files ---


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        pq.write_table(pa.table({"a": [i + 0.5], "b": pa.array([i], pa.int64() if i else pa.int32())}), tmp_path / f"part-{i}.parquet")
    (tmp_path / "_SUCCESS").touch()
    return tmp_path


def test_a_folder_a_pattern_and_a_list_are_one_table(folder):
    expected = {"a": [0.5, 1.5, 2.5], "b": [0, 1, 2]}
    for source in (folder, str(folder / "*.parquet"), f"{folder}/part-[0-2].parquet", sorted(folder.glob("*.parquet"))):
        assert not is_images(source)
        assert read(source).table.to_pydict() == expected
    assert read(folder).name == f"{folder.name} (3 files)"


def test_partitions_are_columns(tmp_path):
    for year, month, day in ((2020, "01", "mon"), (2021, "12", "__HIVE_DEFAULT_PARTITION__")):
        place = tmp_path / f"year={year}" / f"month={month}" / f"day={day}"
        place.mkdir(parents=True)
        pq.write_table(pa.table({"a": [1.5]}), place / "x.parquet")
    assert read(tmp_path).table.to_pydict() == {"a": [1.5, 1.5], "year": [2020, 2021], "month": [1, 12], "day": ["mon", None]}
    assert read(place / "x.parquet").table.to_pydict() == {"a": [1.5]}


def test_parts_that_do_not_fit(folder, tmp_path_factory):
    pq.write_table(pa.table({"a": [1.5], "c": [1]}), folder / "part-9.parquet")
    refused(folder, "part-9.parquet has other columns than", "'b', 'c'", "give files of the same columns")
    pq.write_table(pa.table({"a": ["x"], "b": [1]}), folder / "part-9.parquet")
    refused(folder, "differ in their types", "give files of the same columns")
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    refused(folder, "holds files of .csv, .parquet; give one sort of them")
    refused(tmp_path_factory.mktemp("none"), "holds no tables")
    refused(f"{folder}/*.arrow", "no file is called like")


def test_an_index_of_pandas_is_no_data(tmp_path):
    frame = pd.DataFrame({"x": np.arange(30.0), "y": np.arange(30) % 7})
    frame[frame.x % 3 > 0].to_parquet(tmp_path / "plain.parquet")
    frame.set_index("y").to_parquet(tmp_path / "named.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "plain.parquet").names
    assert load(tmp_path / "plain.parquet").schema.names == ["x", "y"]
    data = load(tmp_path / "named.parquet")
    assert data.schema.names == ["x"] and any("The data frame's index is no data: y" in note for note in data.notes)
    table = pq.read_table(tmp_path / "plain.parquet").replace_schema_metadata({b"pandas": b"not json"})
    assert read(table).table.column_names == read(f"select * from '{tmp_path}/plain.parquet'").table.column_names == ["x", "y"]


def test_what_is_no_column_is_said(tmp_path):
    table = pa.table({"x": np.arange(30.0), "list": [[1]] * 30, "struct": [{"u": 1}] * 30, "bytes": [b"x"] * 30})
    pq.write_table(table, tmp_path / "t.parquet")
    said = " ".join(load(tmp_path / "t.parquet").notes)
    assert all(name in said for name in ("list", "struct", "bytes"))


# --- queries ---


def test_queries(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a,b\n1.5,1\n2.5,2\n")
    (tmp_path / "t.jsonl").write_text('{"a": 1.5, "b": 1}\n{"a": 2.5, "b": 2}\n')
    monkeypatch.chdir(tmp_path)
    for name in ("t.parquet", "t.csv", f"{tmp_path}/t.parquet", "./t.jsonl", "*.parquet"):
        assert read(f"select a, b from '{name}' order by a").table.to_pydict() == AB
    found = read("  WITH u AS (FROM 't.csv') SELECT sum(b) AS n, avg(u.a) AS m FROM u JOIN 't.parquet' USING (b);")
    assert found.name == "query" and found.table.to_pydict() == {"n": [3.0], "m": [2.0]}
    assert is_query("select 1") and not is_query("selected.csv") and not is_query(b"select 1")
    (tmp_path / "many.csv").write_text("\n".join(["a,b", *(f"{i}.5,{i}" for i in range(50))]))
    assert load("select a from 'many.csv' where b >= 10").train.x.shape == (32, 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1 as x; select 2 as x", "it is 2 statements"),
        ("select 1 as x; drop table t", "expected a query that is one SELECT (Only SELECT"),
        ("with u as (select 1) insert into t from u", "expected a query that is one SELECT"),
        ("select * from 'no.parquet'", "there is no file no.parquet"),
        ("select * from 'https://example.org/t.parquet'", "there is no file https:/example.org"),
        ("select * from 's3://bucket/t.parquet'", "there is no file s3:/bucket"),
        ("select frm", "the query can't be run"),
        ("select from where", "syntax error"),
        ("select * from FRAME", "the query can't be run"),
        ("select * from 'test_reading.duckdb'", "unknown ending '.duckdb'"),
        ("select * from '/etc/passwd'", "unknown ending"),
        ("select * from read_text('/etc/passwd')", "the query can't be run (Permission Error"),
        ("select * from read_csv('/etc/passwd')", "the query can't be run (Permission Error"),
        ("with t as materialized (copy (select 1) to 'out.csv') select 1", "the query can't be run (Permission Error"),
        ("select * from query('copy (select 1) to ''out.csv''')", "the query can't be run"),
        ("select * from enable_profiling('json', save_location='out.json')", "the query can't be run"),
        ("select * from enable_logging(storage='file', storage_path='out')", "the query can't be run"),
        ("select set_config('enable_external_access', 'true')", "the query can't be run"),
        ("select 1 as x, 2 as x", "more than one column is called 'x'"),
    ],
)
def test_queries_that_are_refused(tmp_path, monkeypatch, query, words):
    monkeypatch.chdir(tmp_path)
    refused(query, words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "rest", ["copy (select 1) to 'out.csv'", "attach 'out.db'", "install httpfs", "export database 'out'", "set threads = 1"]
)
def test_nothing_but_selecting(tmp_path, monkeypatch, rest):
    monkeypatch.chdir(tmp_path)
    refused(f"select 1 as x; {rest}", "expected a query that is one SELECT")
    assert not list(tmp_path.iterdir())


# --- objects ---

CATEGORIES = pd.Categorical(["low", "high"], ["low", "mid", "high"], ordered=True)
STRUCTURED = np.array([(1.5, 1), (2.5, 2)], [("a", ">f8"), ("b", "<i2")])
OBJECTS = {
    "frame": FRAME,
    "frame with an index": FRAME.set_index(pd.Index(["x", "y"])),
    "frame of nullable numbers": FRAME.convert_dtypes(),
    "frame of Arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "record batch": pa.RecordBatch.from_pandas(FRAME),
    "dict of lists": AB,
    "dict of all sorts": {"a": torch.tensor([1.5, 2.5]), "b": pd.Series([1, 2])},
    "list of dicts": [{"a": 1.5, "b": 1}, {"b": 2, "a": 2.5}],
    "structured": STRUCTURED,
    "records": STRUCTURED.view(np.recarray),
}


@pytest.mark.parametrize("which", OBJECTS)
def test_objects(which):
    source = read(OBJECTS[which])
    assert source.named and source.table.to_pydict() == AB


ARRAYS = {
    "objects": (np.array([[1.5, "x"], [None, "y"]], object), {"x0": [1.5, None], "x1": ["x", "y"]}),
    "text": (np.array([["x", "1"]]), {"x0": ["x"], "x1": ["1"]}),
    "truth values": (np.array([True, False]), {"x0": [True, False]}),
    "small floats": (torch.tensor([1.5, 2.5]).bfloat16(), {"x0": [1.5, 2.5]}),
    "small integers": (torch.tensor([[1], [-2]], dtype=torch.int8), {"x0": [1, -2]}),
    "truth tensor": (torch.tensor([True, False]), {"x0": [True, False]}),
    "half floats": (torch.tensor([1.5, 2.5]).half(), {"x0": [1.5, 2.5]}),
    "masked": (np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]), {"x0": [1, 3], "x1": [None, 4]}),
    "dates": (np.array(["2021-03-04", "NaT"], "datetime64[D]"), {"x0": [datetime.date(2021, 3, 4), None]}),
}


@pytest.mark.parametrize("which", ARRAYS)
def test_arrays(which):
    array, expected = ARRAYS[which]
    assert read(array).table.to_pydict() == expected


def test_frames_of_all_sorts():
    frame = pd.DataFrame(
        {
            "ordered": CATEGORIES,
            "plain": pd.Categorical(["u", "v"]),
            "cut": pd.cut([0.5, 1.5], [0, 1, 2]),
            "period": pd.period_range("2021-03", periods=2, freq="M"),
            "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
        }
    )
    source = read(frame.set_index(pd.Index([7, 8], name="id")))
    table = source.table
    assert table.column_names == ["ordered", "plain", "cut", "period", "interval"]
    assert table["ordered"].type.ordered and table["ordered"].chunk(0).dictionary.to_pylist() == ["low", "mid", "high"]
    assert table["cut"].type.ordered and table["cut"].to_pylist() == ["(0, 1]", "(1, 2]"]
    assert table["plain"].to_pylist() == ["u", "v"]
    assert table["period"].to_pylist() == [datetime.datetime(2021, 3, 1), datetime.datetime(2021, 4, 1)]
    assert table["interval"].to_pylist() == ["(0, 1]", "(1, 2]"]
    assert any("The index is no data: id" in note for note in source.notes) and any("begin: period" in note for note in source.notes)
    levels = FRAME.set_axis(pd.MultiIndex.from_tuples([("p", "a"), ("q", "")]), axis=1)
    assert read(levels).table.column_names == ["p a", "q"]
    assert read(FRAME["a"]).table.to_pydict() == {"a": [1.5, 2.5]}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (torch.zeros(3, dtype=torch.complex64), "expected numbers"),
        (np.array([1 + 2j]), "expected numbers"),
        (np.array([[1, "x"], ["y", 2]], object), "give numbers, text or times, of one sort"),
        (np.array([{}], object), "of one sort in each column"),
        ({"a": [1, 2], "b": [1]}, "give columns of equal length"),
        ({"a": [1, "x"]}, "give a list of numbers, text or times, of one sort"),
        ({"a": 1.5}, "'a' can't be read as a column"),
        ([1.5, 2.5], "can't read rows from list"),
        ([], "can't read rows from list"),
        (None, "can't read rows from NoneType"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column is called 'a'"),
        (np.ones(2, [("a", "f8", (2, 2))]), "expected numbers"),
    ],
    ids=str,
)
def test_objects_that_are_refused(source, words):
    refused(source, words)
