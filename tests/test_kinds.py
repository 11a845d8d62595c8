"""Kinds of columns: what each accepts comes back as it was, and values make the kind that they are."""

from __future__ import annotations

import datetime
import json
import math
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from pushforward.cli.values import conditions
from pushforward.core import Chain, Flow
from pushforward.data import DataError, Schema, kinds, load
from pushforward.data.cells import Cells
from pushforward.data.column import Column
from pushforward.data.context import assignments, context_rows, example
from pushforward.data.infer import infer
from pushforward.data.kinds import KINDS, Category, Constant, DecimalGrid, Integer, Interval, Kind, Maybe, NonNegative, Periodic, Real, Time
from pushforward.distributions import Normal
from pushforward.transforms import Atoms

N = 600
RNG = np.random.default_rng(0)
UTC = datetime.UTC


def cells(values, dtype: pa.DataType | None = None, name: str = "v", context: bool = False) -> Cells:
    array = values if isinstance(values, pa.Array) else pa.array(values, dtype)
    return Cells(pa.chunked_array([array]), name, "table", context=context)


def draws(values, n: int = N) -> list:
    return [values[i] for i in np.random.default_rng(1).integers(0, len(values), n)]


def cents(top: float) -> np.ndarray:
    """Prices whose favourites end in .99."""
    x = np.round(np.random.default_rng(2).gamma(2, top / 4, N), 2)
    return np.where(np.arange(N) % 3 == 0, np.floor(x) + 0.99, x).round(2)


TIMES = {
    "date32": pa.array(draws([datetime.date(2020, 1, 1), datetime.date(2021, 5, 5), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)])),
    "date64": pa.array(draws([datetime.date(2020, 1, 1), datetime.date(9999, 12, 31)]), pa.date64()),
    "hours": pa.array(RNG.integers(0, 400_000, N) * 3600, pa.timestamp("s")),
    "zone": pa.array(RNG.integers(0, 2**31, N) * 10**6, pa.timestamp("us", "Europe/Berlin")),
    "ms": pa.array(RNG.integers(0, 2**40, N), pa.timestamp("ms")),
    "us": pa.array(1_600_000_000_000_000 + RNG.integers(0, 2**40, N), pa.timestamp("us")),
    "ns": pa.array(1_600_000_000_000_000_000 + RNG.integers(0, 2**50, N), pa.timestamp("ns")),
    "never": pa.array(draws([0, 86_400 * 10**6, 253_402_300_799 * 10**6]), pa.timestamp("us")),
    "duration": pa.array(RNG.integers(0, 10**5, N), pa.duration("ms")),
    "back and forth": pa.array(RNG.integers(-50, 50, N), pa.duration("us")),
    "clock32": pa.array((RNG.integers(0, 24, N) * 3600).astype(np.int32), pa.time32("s")),
    "clock64": pa.array(RNG.integers(0, 86_400_000_000, N), pa.time64("us")),
    "text": pa.array([f"2013-01-{d:02}T{h:02}:00:00Z" for d, h in zip(RNG.integers(1, 30, N), RNG.integers(0, 24, N))]),
    "text days": pa.array(draws(["2013-01-01", "2014-02-28", "9999-12-31"])),
    "epoch s": pa.array(RNG.integers(1_500_000_000, 1_700_000_000, N)),
    "epoch ms": pa.array(RNG.integers(1_500_000_000_000, 1_700_000_000_000, N)),
    "epoch us": pa.array(RNG.integers(1_500_000_000_000_000, 1_700_000_000_000_000, N)),
    "epoch ns": pa.array(1_600_000_000_000_000_000 + RNG.integers(0, 2**50, N)),
    "epoch floats": pa.array(RNG.integers(1_500_000_000, 1_700_000_000, N).astype(float)),
    "YYYYMMDD": pa.array(draws([20130101, 20240229, 19991231, 99991231])),
}

# name: (values, the class that they make, what holds of the kind)
SAMPLES = {
    "real": (RNG.normal(size=N), Real, lambda k: k.digits is None),
    "single": (RNG.normal(size=N).astype(np.float32), Real, lambda k: k.dtype == "float"),
    "half": (RNG.normal(size=N).astype(np.float16), Real, lambda k: k.dtype == "halffloat"),
    "huge": (RNG.normal(2e30, 1e29, N), Real, None),
    "tiny": (RNG.normal(size=N) * 1e-170, Real, None),
    "few repeats": (RNG.normal(size=N).round(4), Real, lambda k: k.digits == 4),
    "beyond counting": ((RNG.normal(size=N) * 1e20).round(), Real, None),
    "cents": (cents(40), DecimalGrid, lambda k: (k.unit, k.digits, k.low) == (1, 2, 0.0)),
    "cents, single": (cents(40).astype(np.float32), DecimalGrid, lambda k: (k.unit, k.digits, k.dtype) == (1, 2, "float")),
    "carat": ((RNG.beta(2, 5, N) + 0.2).round(2), DecimalGrid, lambda k: k.step == 0.01),
    "halves": (RNG.integers(-9, 90, N) / 2, DecimalGrid, lambda k: (k.unit, k.digits, k.low) == (5, 1, None)),
    "quarters, closed": (RNG.integers(0, 9, N) / 4, DecimalGrid, lambda k: k.levels == 9),
    "tens": (RNG.integers(0, 37, N) * 10, DecimalGrid, lambda k: (k.unit, k.digits, k.dtype) == (10, 0, "int64")),
    "decimals": (
        pa.array([Decimal(f"{x:.2f}") for x in cents(9)], pa.decimal128(12, 2)),
        DecimalGrid,
        lambda k: k.dtype == "decimal128(12, 2)",
    ),
    "decimals, all different": (pa.array([Decimal(i * 7919 % 100_003).scaleb(-3) for i in range(N)], pa.decimal128(38, 5)), Real, None),
    "counts": (RNG.poisson(3, N), Integer, lambda k: (k.low, k.high) == (0.0, None)),
    "counts in floats": (RNG.poisson(3, N).astype(float), Integer, lambda k: k.dtype == "double" and k.low == 0),
    "signed": (RNG.integers(-500, 500, N), Integer, lambda k: (k.low, k.high) == (None, None)),
    "ratings": (RNG.integers(1, 6, N), Integer, lambda k: (k.low, k.high) == (1.0, 5.0)),
    "rare ends": (np.repeat([1, 2, 3, 4], [30, 90, 380, 100]), Integer, lambda k: (k.low, k.high) == (1.0, 4.0)),
    "a cap": (np.minimum(RNG.poisson(3, N), 5), Integer, lambda k: (k.low, k.high) == (0.0, 5.0)),
    "rare counts": (RNG.poisson(0.3, N), Integer, lambda k: (k.low, k.high) == (0.0, None)),
    "months": (RNG.integers(1, 13, N).astype(np.uint8), Integer, lambda k: (k.low, k.high) == (1.0, 12.0)),
    "zero or one": (RNG.integers(0, 2, N), Integer, lambda k: k.levels == 2),
    "two floats": (draws([0.5, 1.7]), Category, lambda k: k.ordered and k.vocabulary == ("0.5", "1.7")),
    "two whole numbers": (draws([-3, 90]), Category, lambda k: k.vocabulary == ("-3", "90")),
    "thirds": (RNG.integers(0, 4, N) / 3, Category, lambda k: k.ordered and k.levels == 4),
    "text": (draws(["EWR", "JFK", "LGA"]), Category, lambda k: not k.ordered),
    "postal codes": (draws(["01067", "10115", "80331"]), Category, lambda k: k.vocabulary == ("01067", "10115", "80331")),
    "large text": (pa.array(draws(["b", "a"]), pa.large_string()), Category, lambda k: k.vocabulary == ("a", "b")),
    "bool": (draws([True, False]), Category, lambda k: k.vocabulary == ("false", "true")),
    "dictionary": (pa.array(draws(["b", "a", "c"])).dictionary_encode(), Category, lambda k: not k.ordered),
    "ordered": (
        pa.DictionaryArray.from_arrays(pa.array(draws([0, 2]), pa.int8()), ["Fair", "Good", "Ideal"], ordered=True),
        Category,
        lambda k: k.ordered and k.vocabulary == ("Fair", "Good", "Ideal"),
    ),
    "shares": (np.clip(RNG.normal(0.5, 0.4, N), 0, 1), Interval, lambda k: k.at_low and k.at_high),
    "percentages": (np.minimum(RNG.gamma(9, 10, N), 100), Interval, lambda k: (k.high, k.at_low, k.at_high) == (100.0, False, True)),
    "amounts with zeros": (np.where(RNG.random(N) < 0.3, 0, RNG.lognormal(3, 1, N)), NonNegative, lambda k: k.zero),
    "always the same": ([2013] * N, Constant, lambda k: k.dtype == "int64"),
    "always the same float": ([0.1] * N, Constant, None),
    "always the same word": (["x"] * N, Constant, None),
    "always the same day": ([datetime.date(2013, 1, 1)] * N, Constant, None),
    "always the same moment": (pa.array([1_600_000_000_123_456_789] * N, pa.timestamp("ns", "Asia/Tokyo")), Constant, None),
    "always the same category": (pa.array(["x"] * N).dictionary_encode(), Constant, None),
    "always the same amount": (pa.array([Decimal("1.50")] * N, pa.decimal128(8, 2)), Constant, None),
    **{f"time: {name}": (values, Time, None) for name, values in TIMES.items()},
}
UNITS = {"date32": "day", "date64": "day", "hours": "hour", "zone": "s", "ms": "ms", "us": "us", "ns": "ns", "never": "s", "duration": "ms",
         "back and forth": "us", "clock32": "hour", "clock64": "us", "text": "hour", "text days": "day", "epoch s": "s", "epoch ms": "ms",
         "epoch us": "us", "epoch ns": "ns", "epoch floats": "s", "YYYYMMDD": "day"}  # fmt: skip

# name: (values, what is declared, the class, what holds of the kind)
DECLARED = {
    "positive": (RNG.lognormal(0, 1, N), "positive", NonNegative, lambda k: not k.zero),
    "positive, single": (RNG.lognormal(-80, 1, N).astype(np.float32), "positive", NonNegative, None),
    "positive counts": (1 + RNG.poisson(3, N), "positive", Integer, lambda k: k.low == 1),
    "positive cents": ((cents(3) + 0.01).round(2), "positive", DecimalGrid, lambda k: k.low == 1),
    "interval": (RNG.uniform(0, 5, N), "interval:0:5", Interval, lambda k: not (k.at_low or k.at_high)),
    "interval, half-closed": (np.minimum(RNG.gamma(1, 3, N), 5), "interval:0:5", Interval, lambda k: k.at_high and not k.at_low),
    "interval of whole numbers": (RNG.integers(0, 5, N), "interval:0:5", Integer, lambda k: (k.low, k.high) == (0, 5)),
    "interval of halves": (RNG.integers(0, 10, N) / 2, "interval:0:5", DecimalGrid, lambda k: k.levels == 11),
    "near the ends": (np.r_[5e-324, 1 - 2**-53, RNG.uniform(0, 1, N)], "interval", Interval, None),
    "real whole numbers": (RNG.integers(0, 500, N), "real", Real, lambda k: k.dtype == "double"),
    "grid": (RNG.normal(size=N).round(3), "grid", DecimalGrid, lambda k: k.digits == 3),
    "grid of a step": (RNG.integers(0, 9, N) / 2, "grid:0.25", DecimalGrid, lambda k: k.step == 0.25),
    "angles": (np.r_[0.0, 360.0, RNG.uniform(0, 360, N)], "periodic:0:360", Periodic, None),
    "hours of the day": (RNG.integers(0, 24, N), "periodic:0:24", Integer, lambda k: (k.low, k.high) == (0, 23)),
    "numbers as categories": (RNG.integers(0, 9, N), "category", Category, lambda k: k.ordered and k.levels == 9),
    "text": (draws(["u", "v"]), "text", Category, None),
    "whole numbers as times": (RNG.integers(0, 10**6, N), "time", Time, lambda k: k.written == "s"),
    "constant": ([7] * N, "constant", Constant, None),
    "flags as numbers": (draws([True, False]), "integer", Integer, lambda k: k.levels == 2),
}
ALL = {name: (values, None, *rest) for name, (values, *rest) in SAMPLES.items()} | {f"declared {k}": v for k, v in DECLARED.items()}


@pytest.mark.parametrize("name", ALL)
def test_what_is_accepted_comes_back(name):
    """Value for value and in its type, also through JSON, with gaps and in a flow's layers; and it is of the kind that it should be."""
    values, declared, cls, holds = ALL[name]
    given = cells(values)
    kind = infer(given, declared)
    assert type(kind) is cls and (holds is None or holds(kind)), kind
    returns(kind, given, measured=name != "tiny")  # whose deviation is refused when it is measured


def returns(kind: Kind, given: Cells, measured: bool = True) -> None:
    """The law."""
    x = kind.encode(given)
    assert x.dtype == np.float64 and np.isfinite(x).all()
    kind = kind.measure(x)
    if measured:
        kind.check()
    again = kinds.kind_from_json(json.loads(json.dumps(kind.to_json())))
    assert again == kind
    back = again.decode(x)
    expected = given.plain.cast(pa.float64()) if pa.types.is_integer(given.dtype) and isinstance(kind, Real) else given.values
    assert back.type == expected.type
    assert back.equals(expected.combine_chunks()) or back.to_pylist() == expected.to_pylist()
    assert kind.words() and kind.shown(x[0])
    support = kind.support()
    assert support.whole == kind.discrete and (not support.whole or (x == np.rint(x)).all())
    assert (support.low is None or x.min() >= support.low) and (support.high is None or x.max() <= support.high)
    gaps = pa.array([None, *back.to_pylist()], back.type) if not pa.types.is_dictionary(back.type) else None
    if gaps is not None:
        maybe = Maybe.around(kind)
        y = maybe.encode(cells(gaps))
        assert np.isnan(y[0]) and np.array_equal(y[1:], x) and maybe.decode(y).equals(gaps)
        assert maybe.support() == replace(support, missing=True) and maybe.measure(y).seen == kind.seen
        assert kinds.kind_from_json(json.loads(json.dumps(maybe.to_json()))) == maybe


FAULTS = {
    "a count is lost": ("counts", {"encode": lambda self, c: Integer.encode(self, c) + 1}),
    "a fraction is encoded": ("counts", {"encode": lambda self, c: Integer.encode(self, c) + 0.25}),
    "the type is lost": ("cents, single", {"decode": lambda self, x: DecimalGrid.decode(self, x).cast(pa.float64())}),
    "the order is lost": ("ordered", {"decode": lambda self, x: Category.decode(self, x).dictionary_decode().dictionary_encode()}),
    "a float beside": ("cents", {"decode": lambda self, x: pa.array(x * 0.01)}),
    "a sentinel is cut": ("time: never", {"decode": lambda self, x: Time.decode(self, np.minimum(x, 60_000_000_000))}),
    "sub-seconds are cut": ("time: ms", {"encode": lambda self, c: Time.encode(self, c) // 1000 * 1000}),
    "a number is moved": ("real", {"decode": lambda self, x: Real.decode(self, x * (1 + 1e-15))}),
    "nothing": ("counts", {}),
    "ends that are none": ("counts", {"support": lambda self: kinds.Support(True, True, 1.0, 3.0, True)}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_law_can_fail(fault, monkeypatch):
    name, methods = FAULTS[fault]
    given = cells(ALL[name][0])
    kind = infer(given)
    bent = type("Bent", (type(kind),), methods)
    wrong = object.__new__(bent)
    vars(wrong).update(vars(kind))
    monkeypatch.setitem(KINDS, kind.name, bent)
    with pytest.raises(AssertionError) if methods else nullcontext():
        returns(wrong, given)


def test_every_kind_is_among_them():
    assert {cls for _, _, cls, _ in ALL.values()} | {Maybe} == set(KINDS.values())


@pytest.mark.parametrize("name", UNITS)
def test_times_count_in_the_longest_unit(name):
    kind = infer(cells(TIMES[name]))
    assert kind.unit == UNITS[name] and np.abs(kind.encode(cells(TIMES[name]))).max() < 2**53


@pytest.mark.parametrize("name", ALL)
def test_whatever_a_model_draws_is_a_value(name):
    """Of the column's type and within its support, far out too; NaN is null."""
    values, declared, _, _ = ALL[name]
    kind = infer(cells(values), declared)
    kind = kind.measure(kind.encode(cells(values)))
    x = np.r_[np.linspace(kind.seen.minimum - 9, kind.seen.maximum + 9, 50), -1e30, 1e30, math.nan]
    back = kind.decode(x)
    assert back.type == kind.decode(x[:1]).type and back[-1].as_py() is None and back.null_count == 1
    again = kind.encode(Cells(pa.chunked_array([back.slice(0, 52)]), "v", "samples"))
    support = kind.support()
    if support.whole:
        assert (again == np.rint(again)).all()
    if support.low is not None:
        assert (again > support.low).all() or (support.closed or support.whole or isinstance(kind, Periodic))
    assert (support.low is None or again.min() >= support.low) and (support.high is None or again.max() <= support.high)


@pytest.mark.parametrize("name", [name for name, (_, _, cls, _) in ALL.items() if cls is not Constant and name != "tiny"])
def test_layers_return_and_standardize(name):
    """The flow's first layers take the numbers to about 0 and 1, and back."""
    values, declared, _, _ = ALL[name]
    kind = infer(cells(values), declared)
    x = torch.tensor(kind.encode(cells(values)))[:, None]
    column = Column("v", kind).measured(x[:, 0].numpy(), "table")
    layers = Schema([column]).layers()
    chain = Chain(*layers[:-1])
    torch.manual_seed(0)
    z = torch.cat([chain(x)[0] for _ in range(8)])
    if column.scale > 1e-100:
        assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1, (z.mean(), z.std())
    back = chain.decode(chain.encode(x))
    if kind.discrete:
        assert torch.equal(back, x)
    else:
        torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6 * column.scale)
    flow = Flow(Normal((1,)), *layers, shape=(1,)).double()
    assert flow.log_prob(x).isfinite().all() and flow.kind == ("bound" if kind.discrete or kind.support().closed else "exact")


# --- tables ---


def mixed(n: int = 200) -> dict[str, object]:
    rng = np.random.default_rng(3)
    return {
        "id": np.arange(1, n + 1),
        "year": [2013] * n,
        "x": rng.normal(size=n),
        "city": rng.choice(["Rome", "Oslo", "Bonn"], n),
        "key": [f"k{i}" for i in range(n)],
        "grade": rng.integers(1, 6, n),
        "big": 2**62 + rng.permutation(n),
        "flag": rng.random(n) < 0.4,
        "price": (rng.gamma(2, 9, n)).round() - 0.01,
    }


def test_a_table_as_it_is():
    """Text is data, identifiers are left out with a word, and what never changes is no part of a row and comes back in its place."""
    data = load(pa.table(mixed()))
    assert data.schema.names == ["x", "city", "grade", "flag", "price"] and data.schema.shape == (5,)
    assert any(note.startswith("Left out, since they name the rows") and "id, key, big" in note for note in data.notes)
    assert any("no part of the density" in note and "year (2013)" in note for note in data.notes)
    assert not any(note.startswith("Warning") for note in data.notes)
    table = pa.table(mixed()).drop_columns(["id", "key", "big"])
    back = data.schema.decode(data.schema.encode(pa.table(mixed()))[0])
    assert back.equals(table)
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema
    flow = Flow(Normal((5,)), *data.schema.layers(), shape=(5,))
    assert flow.log_prob(data.test.x).isfinite().all()
    assert data.schema.decode(flow.sample((50,)).double()).schema == table.schema


def test_identifiers_are_modelled_if_asked_for():
    assert load(pa.table(mixed()), columns=["id", "x"]).schema.names == ["id", "x"]
    assert load(pa.table(mixed()), kinds={"id": "integer", "grade": "identifier"}).schema.names == ["id", "x", "city", "flag", "price"]
    with pytest.raises(DataError, match="only name the rows"):
        load(pa.table({"id": np.arange(60)}))
    unnamed = pd.DataFrame({"Unnamed: 0": np.random.default_rng(0).permutation(60) * 3, "x": RNG.normal(size=60)})
    assert load(unnamed).schema.names == ["x"]


def test_gaps_are_kept():
    table = mixed()
    table["x"] = [None, math.nan, *table["x"][2:]]
    table["city"] = [*table["city"][:5], None, *table["city"][6:]]
    table["year"] = [None, *table["year"][1:]]
    data = load(pa.table(table), missing="keep")
    by_name = {column.name: column.kind for column in data.schema.columns}
    assert [name for name, kind in by_name.items() if isinstance(kind, Maybe)] == ["year", "x", "city"]
    assert isinstance(by_name["year"].of, Constant) and by_name["city"].labels == ("Bonn", "Oslo", "Rome")
    x, _ = data.schema.encode(pa.table(table))
    assert [int(n) for n in x.isnan().sum(0)] == [1, 2, 1, 0, 0, 0] and not data.schema.missing(pa.table(table)).any()
    back = data.schema.decode(x)
    assert back["city"].to_pylist() == table["city"] and back["x"].to_pylist() == [None, None, *table["x"][2:]]
    assert back["year"].to_pylist() == table["year"]
    with pytest.raises(DataError, match=r"year, x, city may be missing.*--missing drop.*--model any_order"):
        data.schema.layers()
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema
    with pytest.raises(DataError, match=r"missing, NaN or infinite values in 1 of 1 columns.*city 1"):
        load(pa.table(table), columns=["x"], context=["city"], missing="keep")
    with pytest.raises(DataError, match=r"'z' is missing in every row; leave it out .fit --exclude z"):
        load(pa.table(mixed() | {"z": pa.nulls(200, pa.float64())}), columns=["x", "z"], missing="keep")


REFUSED = {
    "off the grid": ("price", 5.005, "row 3 of column 'price'.*multiples of 0.01; round it"),
    "another constant": ("year", 2014, "row 3 of column 'year'.*always 2013 in training; drop the row, or leave it out"),
    "a new category": ("city", "Roma", "row 3 of column 'city'.*did you mean 'Rome'"),
    "a rating": ("grade", 6, "row 3 of column 'grade'.*outside the levels 1..5"),
    "below the count": ("price", -1.0, "row 3 of column 'price'.*does not go below 0.00"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_value_is_refused(name):
    schema = load(pa.table(mixed())).schema
    column, value, message = REFUSED[name]
    rows = pa.table(mixed()).to_pylist()
    rows[3][column] = value
    with pytest.raises(DataError, match=message):
        schema.encode(pa.Table.from_pylist(rows))


DECLARATIONS = {
    "interval:3:1": "write interval:LOW:HIGH, as interval:0:100",
    "periodic": "write periodic:LOW:HIGH",
    "grid:x": "write grid:STEP, as grid:0.01",
    "grid:0": "write grid:STEP",
    "real:1": "write real, as real",
    "catgory": "did you mean 'category'",
    "constant": "was declared constant and has 200 values",
    "category:3": "write category",
}


@pytest.mark.parametrize("declared", DECLARATIONS)
def test_declarations_that_are_none(declared):
    with pytest.raises(DataError, match=DECLARATIONS[declared]):
        load(pa.table(mixed()), kinds={"x": declared})


def test_kinds_from_outside_are_checked():
    good = Column("v", Integer(low=0, high=4)).to_json()
    for change in ({"low": 9}, {"dtype": "list<item: int64>"}, {"kind": "nothing"}, {"low": 0.5}, {"seen": {"std": -1}}, {"seen": 3}):
        with pytest.raises(ValueError):
            Column.from_json({"name": "v", "kind": good["kind"] | change})
    assert Column.from_json(good).kind == Integer(low=0, high=4)


def test_a_schema_from_before_kinds_were_objects():
    """As a release before wrote it: the same numbers for the same rows, the same layers, and back again."""
    old = json.loads((Path(__file__).parent / "schema_version_1.json").read_text())
    assert "version" not in old["schema"] and old["schema"]["columns"][0]["kind"] == "real"
    schema = Schema.from_json(old["schema"])
    x, context = (torch.tensor(old[part], dtype=torch.float64) for part in ("x", "context"))
    rows = schema.decode(x)
    for name, values in zip(schema.decode_context(context).column_names, schema.decode_context(context).columns):
        rows = rows.append_column(name, values)
    again, given = schema.encode(rows)
    assert torch.equal(again, x) and torch.equal(given, context)
    assert [str(dtype) for dtype in rows.schema.types] == [
        column["dtype"] for part in ("columns", "context") for column in old["schema"][part]
    ]
    chain = Chain(*schema.layers())
    assert {name: list(values.shape) for name, values in chain.state_dict().items()} == old["state"]
    assert chain.encode(x).tolist() == old["z"] and schema.embed()(context).tolist() == old["embedded"]
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    with pytest.raises(DataError, match="version 3, which this release can't read"):
        Schema.from_json(schema.to_json() | {"version": 3})
    for change in ({"kind": "nothing"}, {"step": 7, "kind": "time"}, {"kind": "interval", "low": None}, {"std": 0}):
        with pytest.raises(DataError, match="not the description"):
            Schema.from_json({"columns": [old["schema"]["columns"][0] | change]})


@pytest.mark.parametrize("name", [name for name in ALL if name != "time: ns"])  # contexts are read to the microsecond
def test_an_example_of_a_context_is_a_value_of_it(name):
    """As a Python value and as the command line writes it: the smallest number of training."""
    values, declared, _, _ = ALL[name]
    given = cells(values, context=True)
    kind = infer(given, declared)
    kind = kind.measure(kind.encode(given))
    schema = Schema([Column("x")], [Column("v", kind)])
    for value in (example(schema.context[0]), conditions(assignments(schema.context), ["v"])["v"]):
        found = context_rows(schema, {"v": value})
        assert found is not None and found.item() == pytest.approx(kind.seen.minimum, rel=1e-5)


def test_arrays_have_their_constants():
    x = np.c_[RNG.normal(size=60), np.full(60, 3.0), RNG.normal(size=60)]
    schema = load(x).schema
    assert schema.names == ["x0", "x2"] and np.array_equal(schema.encode(x)[0], x[:, [0, 2]])
    assert np.array_equal(np.stack([column.to_numpy() for column in schema.decode(schema.encode(x)[0]).columns], 1), x)
    with pytest.raises(DataError, match="expected 3 columns"):
        schema.encode(x[:, :2])


def test_the_mass_of_an_end_is_what_the_flow_has_beyond_it():
    """Of a standard normal clipped to 0..1: half of it at 0, 16 % at 1, its density in between; samples have the ends as often."""
    flow = Flow(Normal((1,)), Atoms([0.0], [1.0], [0.7]))
    torch.manual_seed(0)
    ends = flow.log_prob(torch.tensor([[0.0], [1.0]]), samples=20_000).exp()
    torch.testing.assert_close(ends, torch.tensor([0.5, 0.1587]), rtol=0.02, atol=0)
    torch.testing.assert_close(flow.log_prob(torch.tensor([[0.3]])), torch.tensor([-0.5 * 0.3**2 - 0.5 * math.log(2 * math.pi)]))
    x = flow.sample((20_000,))
    assert ((x == 0).float().mean() - 0.5).abs() < 0.02 and ((x == 1).float().mean() - 0.1587).abs() < 0.02 and flow.kind == "bound"
    for wrong in (([1.0], [0.0], [1.0]), ([0.0], [1.0], [0.0]), ([0.0], [1.0], [math.inf]), ([0.0, 0.0], [1.0], [1.0]), ([], [], [])):
        with pytest.raises(ValueError, match="Atoms: expected"):
            Atoms(*wrong)


@pytest.mark.parametrize(
    "kind, field, other",
    [
        (Constant(dtype="double", value="1.5"), "value", "v"),
        (Constant(dtype="date32[day]", value="18262"), "value", "today"),
        (Category(dtype="int64", vocabulary=("1", "2")), "vocabulary", ["1", "v"]),
    ],
)
def test_a_description_of_values_of_another_type_is_refused(kind, field, other):
    """When it is read, not when a sample is to be written."""
    described = Column("a", kind).to_json()
    assert Column.from_json(described).kind == kind
    described["kind"][field] = other
    with pytest.raises(DataError, match="column 'a': it holds values that are not of type"):
        Column.from_json(described)
