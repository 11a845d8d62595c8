"""Rows that are held out by a column: the last ones in its order, or whole groups of them."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import pushforward as pf
from pushforward.data import load
from pushforward.verbs.runs import data_of

N = 500
RNG = np.random.default_rng(0)
HEIGHT = RNG.normal(size=N)  # all different: which row is which
PATIENT = np.array([f"p{i:02}" for i in RNG.integers(0, 60, N)])
DAY = RNG.integers(0, 200, N)
DATES = [datetime.date(2020, 1, 1) + datetime.timedelta(int(day)) for day in DAY]
TABLE = pa.table({"height": HEIGHT, "weight": RNG.gamma(3, 20, N), "patient": PATIENT, "day": DATES})


def rows_of(data: pf.data.Data) -> list[np.ndarray]:
    """The numbers of the rows of each split."""
    place = {x: i for i, x in enumerate(HEIGHT)}
    return [np.array([place[x] for x in part.x[:, 0].tolist()]) for part in (data.train, data.valid, data.test)]


@pytest.mark.parametrize("values", [PATIENT, RNG.integers(0, 60, N), RNG.integers(0, 60, N) / 7], ids=["words", "numbers", "floats"])
def test_groups_stay_together(values):
    table = TABLE.set_column(2, "patient", pa.array(values))
    data = load(table, group="patient")
    parts = rows_of(data)
    groups = [set(values[part]) for part in parts]
    assert sorted(np.concatenate(parts)) == list(range(N)), "each row once"
    assert not (groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])
    assert all(abs(len(part) - share * N) < 0.04 * N for part, share in zip(parts, (0.8, 0.1, 0.1)))
    assert data.schema.names == ["height", "weight", "day"]
    assert f"Split by patient: {len(groups[0])} of its values train, {len(groups[1])} validate, {len(groups[2])} test" in " ".join(
        data.notes
    )
    assert groups[2] == {*values[rows_of(load(table, group="patient"))[2]]} != {*values[rows_of(load(table, group="patient", seed=1))[2]]}


def test_large_groups_train():
    """Held out, one of them would be most of a split."""
    clinic = np.where(np.arange(N) < 300, "large", PATIENT)
    for seed in range(5):
        parts = rows_of(load(TABLE.append_column("clinic", pa.array(clinic)), group="clinic", seed=seed))
        assert set(range(300)) <= set(parts[0]) and all(20 < len(part) < 80 for part in parts[1:])


ORDERED = {
    "dates": pa.array(DATES),
    "text": pa.array([str(date) for date in DATES]),
    "numbers": pa.array(DAY),
    "negative": pa.array(DAY / -7.0),
    "half": pa.array(DAY.astype(np.float16)),
    "times": pa.array(DAY, pa.timestamp("ns")),
    "beyond 2**53": pa.array(DAY + 2**60),
    "grades": pa.DictionaryArray.from_arrays(pa.array(DAY // 20, pa.int8()), list("zyxwvutsrq"), ordered=True),
}


@pytest.mark.parametrize("name", ORDERED)
def test_the_last_rows_in_the_order_of_a_column_are_held_out(name):
    """Oldest train, newest test, none of one value in two splits."""
    when = {"negative": -DAY, "grades": DAY // 20}.get(name, DAY)
    data = load(TABLE.set_column(3, "day", ORDERED[name]), split="day")
    train, valid, test = rows_of(data)
    assert when[train].max() < when[valid].min() and when[valid].max() < when[test].min()
    assert sorted([*train, *valid, *test]) == list(range(N)) and not (np.diff(train) > 0).all(), "each once, and shuffled"
    if name != "grades":
        assert all(abs(len(part) - share * N) < 0.02 * N for part, share in zip((train, valid, test), (0.8, 0.1, 0.1)))
    assert data.schema.names == ["height", "weight", "patient"]
    assert "Split in the order of day: the rows up to " in " ".join(data.notes)


def test_the_note_says_when():
    found = " ".join(load(TABLE, split="day").notes)
    train, valid, _ = (max(DATES[i] for i in part) for part in rows_of(load(TABLE, split="day")))
    assert f"the rows up to {train} train, those up to {valid} validate, the others test. It is no part of the density" in found


def test_what_rows_are_split_by_is_data_if_it_is_named():
    data = load(TABLE, split="day", columns=["height", "day"])
    assert data.schema.names == ["height", "day"] and "no part of the density" not in " ".join(data.notes)
    assert [c.name for c in load(TABLE, group="patient", context="patient").schema.context] == ["patient"]
    assert load(TABLE, group="patient", weight="weight").train.weight is not None
    assert "weight" not in load(TABLE, group="patient", exclude="weight").schema.names


def with_gap(name: str) -> pa.Table:
    at = TABLE.column_names.index(name)
    return TABLE.set_column(at, name, pa.array([None, *TABLE[name].to_pylist()[1:]], TABLE[name].type))


REFUSED = {
    "no such column": (lambda: load(TABLE, group="pateint"), "no column 'pateint'; did you mean 'patient'"),
    "nor to order by": (lambda: load(TABLE, split="dya"), "no column 'dya'; did you mean 'day'"),
    "one group": (lambda: load(TABLE.append_column("a", pa.array(["x"] * N)), group="a"), "'a' has one value.*leave fit --group out"),
    "two groups": (lambda: load(TABLE.append_column("a", pa.array([1, 2] * 250)), group="a"), "'a' has 2 values, .*fit --valid"),
    "one day": (
        lambda: load(TABLE.append_column("a", pa.array(["2020-01-01"] * N)), split="a"),
        "'a' has one value.*leave fit --split out",
    ),
    "words": (lambda: load(TABLE, split="patient"), "'patient' holds words, .* --group"),
    "gaps": (lambda: load(with_gap("patient"), group="patient", missing="keep"), "patient 1.* --missing drop"),
    "gaps in the order": (lambda: load(with_gap("day"), split="day", missing="keep"), "day 1.* --missing drop"),
    "both": (lambda: load(TABLE, split="day", group="patient"), "give one of them"),
    "a test file": (lambda: load(TABLE, split="day", test=TABLE), "leave fit --split out, or fit --valid"),
    "a validation file": (lambda: load(TABLE, group="patient", valid=TABLE), "leave fit --group out"),
    "images": (lambda: pf.fit(np.zeros((30, 4, 4, 3), np.uint8), group="patient"), "group is about .*; leave it out"),
    "nested": (lambda: load(TABLE.append_column("a", pa.array([[1]] * N)), split="a"), "'a' holds list<.*gives rows no order"),
    "nested groups": (lambda: load(TABLE.append_column("a", pa.array([[1]] * N)), group="a"), "'a' holds list<.*can't be told apart"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_split_by(case):
    call, words = REFUSED[case]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).count(". ") <= 1


def test_rows_with_gaps_there_can_be_dropped():
    data = load(with_gap("patient"), group="patient", missing="drop")
    assert sum(map(len, (data.train, data.valid, data.test))) == N - 1


def test_a_run_keeps_its_split(tmp_path: Path):
    """Evaluated, also after the file was shuffled; resumed; not with another split."""
    path, options = tmp_path / "visits.csv", {"report": False, "progress": False}
    pyarrow.csv.write_csv(TABLE, path)
    run = pf.fit(
        path, "gaussian", out=tmp_path / "run", group="patient", columns=["height", "weight"], options=["train.steps=2"], **options
    )
    assert run.config["data"]["group"] == "patient" and run.request.group == "patient"
    groups = [set(PATIENT[part]) for part in rows_of(data_of(run))]
    assert not groups[0] & groups[2]
    score = pf.results(run)["scores"][0]["nats"]
    assert pf.evaluate(run).nats == pytest.approx(score)
    pyarrow.csv.write_csv(TABLE.take(np.random.default_rng(3).permutation(N)), path)
    assert pf.evaluate(tmp_path / "run").nats == pytest.approx(score)
    again = {"out": tmp_path / "run", "resume": True, "options": ["train.steps=4"], **options}
    pf.fit(path, "gaussian", group="patient", **again)
    with pytest.raises(ValueError, match=r"data\.group = patient, not day"):
        pf.fit(path, "gaussian", group="day", **again)
    with pytest.raises(ValueError, match=r"data\.split = random, not day"):
        pf.fit(path, "gaussian", split="day", **again)


def test_a_plan_counts_the_same_rows():
    train = len(load(TABLE, split="day").train)
    assert pf.plan(TABLE, "nsf", split="day", columns=["height", "weight"]).rows == train != 400


def test_a_table_of_a_name():
    assert load("wine", group="alcohol").schema.names == [name for name in load("wine").schema.names if name != "alcohol"]
    assert load("moons", split="x1").entropy is None
