"""Tables in, numbers out and back: kinds, round trips, splits, preprocessing, and what bad input says."""

from __future__ import annotations

import datetime
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

from pushforward.core import Flow
from pushforward.data import DataError, Schema, load
from pushforward.distributions import Normal

N = 400
SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def columns(n: int = N) -> dict[str, pa.Array]:
    """One column of each sort."""
    rng = np.random.default_rng(0)
    start = datetime.datetime(2013, 1, 1)
    return {
        "real": pa.array(rng.normal(5, 3, n)),
        "single": pa.array(rng.normal(size=n).astype(np.float32)),
        "half": pa.array(rng.normal(size=n).astype(np.float16)),
        "whole": pa.array(rng.integers(-5, 40, n)),
        "small": pa.array(rng.integers(0, 200, n).astype(np.uint8)),
        "float_whole": pa.array(rng.integers(0, 9, n).astype(float)),
        "big": pa.array(rng.integers(1_500_000_000, 2_000_000_000, n)),
        "flag": pa.array(rng.random(n) < 0.3),
        "price": pa.array(rng.lognormal(3, 1, n)),
        "share": pa.array(rng.uniform(0, 1, n)),
        "percent": pa.array(rng.uniform(0, 100, n)),
        "hourly": pa.array([start + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 9000, n)], pa.timestamp("us")),
        "moment": pa.array(rng.integers(0, 2_000_000_000, n), pa.timestamp("s", "UTC")),
        "nanos": pa.array(rng.integers(0, 2_000_000_000, n) * 10**9, pa.timestamp("ns")),
        "day": pa.array(rng.integers(0, 20_000, n).astype(np.int32), pa.date32()),
        "written": pa.array([f"2013-01-{d:02}T{h:02}:00:00Z" for d, h in zip(rng.integers(1, 30, n), rng.integers(0, 24, n))]),
        "code": pa.array(rng.choice(["EWR", "JFK", "LGA"], n)),
        "category": pa.array(rng.choice(["a", "b"], n)).dictionary_encode(),
    }


KINDS = {"price": "positive", "share": "interval", "percent": "interval:0:100"}
CONTEXT = ["code", "category"]


@pytest.fixture(scope="module")
def mixed():
    return load(pa.table(columns()), kinds=KINDS, context=CONTEXT)


def test_kinds_are_inferred(mixed):
    kinds = {column.name: column.kind.name for column in [*mixed.schema.columns, *mixed.schema.context]}
    whole, times = ("whole", "small", "float_whole"), ("hourly", "moment", "nanos", "day", "written", "big")
    expected = {"real": "real", "single": "real", "half": "real", "price": "positive", "share": "interval", "percent": "interval"}
    assert kinds == expected | dict.fromkeys(whole, "integer") | dict.fromkeys(times, "time") | dict.fromkeys(
        [*CONTEXT, "flag"], "category"
    )
    by_name = {column.name: column for column in mixed.schema.columns}
    assert by_name["flag"].levels == 2 and by_name["whole"].levels is None
    assert [by_name[name].step for name in times] == [3600, 1, 1, 86_400, 3600, 1]
    assert (by_name["percent"].kind.low, by_name["percent"].kind.high) == (0, 100)
    text = " ".join(mixed.notes)
    for name in kinds:
        assert re.search(rf"\b{name}\b", text) or "more" in text, f"{name} is not in the notes"
    assert not any(note.startswith("Warning") for note in mixed.notes)


def test_rows_come_back_with_their_names_and_types(mixed):
    """encode then decode is the identity on every kind, values and types."""
    table = pa.table(columns())
    x, context = mixed.schema.encode(table)
    assert x.dtype == context.dtype == torch.float64
    back, context_back = mixed.schema.decode(x), mixed.schema.decode_context(context)
    assert back.column_names == [name for name in table.column_names if name not in CONTEXT]
    for name in back.column_names:
        assert back[name].type == table[name].type
        assert back[name].to_pylist() == table[name].to_pylist(), name
    assert context_back["code"].to_pylist() == table["code"].to_pylist()
    assert context_back["category"].to_pylist() == table["category"].to_pylist()


def test_pandas_round_trip():
    frame = pa.table(columns()).drop_columns(["half"]).to_pandas()
    data = load(frame, kinds=KINDS, context=CONTEXT)
    x, _ = data.schema.encode(frame)
    back = data.schema.decode(x).to_pandas()
    expected = frame[back.columns]
    pd.testing.assert_frame_equal(back, expected, check_dtype=False)
    assert back["hourly"].dtype.kind == "M" and back["small"].dtype == np.uint8


def test_rows_to_table(mixed):
    table = mixed.test.to_table(mixed.schema)
    assert table.num_rows == len(mixed.test) == 40 and table.column_names[-2:] == CONTEXT
    x, context = mixed.schema.encode(table)
    assert torch.equal(x, mixed.test.x) and torch.equal(context, mixed.test.context)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_flow_standardizes_and_returns_the_data(mixed, dtype):
    schema, x = mixed.schema, mixed.train.x
    flow = Flow(Normal(schema.shape), *schema.layers(), shape=schema.shape).to(dtype)
    torch.manual_seed(0)
    z, _ = flow.transform(x)
    assert z.dtype == dtype
    assert z.mean(0).abs().max() < 0.15 and (z.std(0) - 1).abs().max() < 0.15
    exact = [not column.discrete for column in schema.columns]
    torch.testing.assert_close(z[:, exact].double().mean(0), torch.zeros(sum(exact)).double(), atol=1e-5, rtol=0)
    back = flow.decode(flow.encode(x))
    whole = [column.discrete and column.name != "big" for column in schema.columns]
    wide = [column.name in ("big", "moment", "nanos") for column in schema.columns]
    if dtype == torch.float32:  # standardized values keep 24 bits: of a spread of 6e8 that leaves tens of seconds
        whole = [w and not b for w, b in zip(whole, wide)]
        assert (back - x)[:, wide].abs().max() < 2**-22 * 6e8
    assert torch.equal(back[:, whole], x[:, whole])
    torch.testing.assert_close(back[:, exact], x[:, exact], atol=1e-4, rtol=1e-4)


def test_log_likelihood_is_in_data_units():
    """A normal, a log-normal and a logit-normal column have known densities."""
    rng = np.random.default_rng(0)
    r, p, i = rng.normal(7, 2, 1000), rng.lognormal(2, 0.5, 1000), 10 / (1 + np.exp(-rng.normal(size=1000)))
    data = load(pa.table({"r": r, "p": p, "i": i}), kinds={"p": "positive", "i": "interval:0:10"})
    flow = Flow(Normal((3,)), *data.schema.layers(), shape=(3,)).double()
    means, stds = ([getattr(column, name) for column in data.schema.columns] for name in ("mean", "std"))
    x = data.test.x.numpy()
    z = np.stack([x[:, 0], np.log(x[:, 1]), np.log(x[:, 2] / (10 - x[:, 2]))], 1)
    slope = -np.log(x[:, 1]) + np.log(10 / (x[:, 2] * (10 - x[:, 2])))
    expected = (-0.5 * ((z - means) / stds) ** 2 - np.log(stds) - 0.5 * math.log(2 * math.pi)).sum(1) + slope
    np.testing.assert_allclose(flow.log_prob(data.test.x).numpy(), expected, rtol=1e-10)


def test_statistics_are_those_of_the_dequantized_train_split():
    data = load("digits")
    schema = data.schema
    torch.manual_seed(0)
    (columns_layer, *_) = schema.layers()
    z = torch.cat([columns_layer(data.train.x)[0] for _ in range(20)])
    for name, value in (("mean", z.mean(0)), ("std", z.std(0))):
        torch.testing.assert_close(torch.tensor([getattr(c, name) for c in schema.columns]).double(), value, atol=0.03, rtol=0.03)
    column = load(pa.table({"n": np.arange(100) % 7})).schema.columns[0]
    assert column.minimum == 0 and column.maximum == 6 and column.distinct == 7
    assert column.std**2 == pytest.approx(column.scale**2 + 1 / 12)


def test_levels_are_closed():
    """Whatever z a model draws, a digit's pixel is one of 17 levels, and a truth value one of two."""
    data = load("digits")
    flow = Flow(Normal((64,)), *data.schema.layers(), shape=(64,))
    x = flow.decode(torch.linspace(-30, 30, 50)[:, None].expand(50, 64))
    assert x.min() == 0 and x.max() == 16
    table = data.schema.decode(x)
    assert all(dtype == pa.uint8() for dtype in table.schema.types)
    assert data.schema.discrete and data.schema.image == (8, 8)
    assert len(data.train) == 1437 and flow.log_prob(data.test.x).isfinite().all()


def test_standardized_nats(mixed):
    columns = zip(mixed.schema.columns, mixed.train.x.unbind(1), strict=True)
    expected = sum(math.log(x.std(correction=0)) for column, x in columns if column.kind.name != "category")
    assert mixed.schema.log_scale == pytest.approx(expected)
    constant = load(pa.table({"a": np.random.default_rng(0).normal(size=99), "c": np.zeros(99)}))
    assert constant.schema.names == ["a"] and [column.name for column in constant.schema.fixed] == ["c"]
    assert constant.schema.log_scale == pytest.approx(math.log(constant.schema.columns[0].scale))
    assert any("Always the same" in note and note.endswith(": c (0.0).") for note in constant.notes)


def test_schema_survives_json(mixed):
    schema = Schema.from_json(json.loads(json.dumps(mixed.schema.to_json())))
    assert schema == mixed.schema
    for mine, theirs in zip(schema.layers(), mixed.schema.layers(), strict=True):
        for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    torch.testing.assert_close(schema.embed()(mixed.test.context), mixed.schema.embed()(mixed.test.context))
    with pytest.raises(DataError, match="not the description"):
        Schema.from_json({"columns": [{"nonsense": 1}], "context": [], "image": None})


def test_embed():
    data = load(pa.table(columns()), columns=["real"], context=["code", "whole", "flag", "hourly"])
    embed = data.schema.embed()
    features = embed(data.train.context)
    assert features.dtype == torch.float32 and features.shape == (320, data.schema.context_width) == (320, 7)
    assert (features[:, :3].sum(1) == 1).all() and torch.equal(features[:, :3].argmax(1).double(), data.train.context[:, 0])
    numbers = features[:, [3, 6]]
    assert numbers.mean(0).abs().max() < 0.2 and (numbers.std(0) - 1).abs().max() < 0.1
    assert load(pa.table(columns()), columns=["real"]).schema.embed() is None


def test_a_number_as_categories():
    data = load(pa.table(columns()), columns=["real"], context=["float_whole", "flag", "whole"], kinds={"whole": "text", "flag": "text"})
    by_name = {column.name: column for column in data.schema.context}
    assert by_name["flag"].vocabulary == ("false", "true") and by_name["whole"].kind.name == "category"
    back = data.schema.decode_context(data.test.context)
    assert back["whole"].type == pa.int64() and back["flag"].type == pa.bool_()
    assert torch.equal(data.schema.encode(data.test.to_table(data.schema))[1], data.test.context)


def test_the_flow_takes_context():
    data = load("wine", context=["class"])
    schema = data.schema
    flow = Flow(Normal(schema.shape), shape=schema.shape).prepend(
        *schema.layers(), shape=schema.shape, context=schema.context_shape, embed=schema.embed()
    )
    assert flow.log_prob(data.test.x, data.test.context).shape == (18,)
    assert data.schema.context[0].vocabulary == ("class_0", "class_1", "class_2") and len(schema.columns) == 13


# --- decoding what a model may produce ---


def test_decoded_values_stay_within_their_types(mixed):
    x = torch.full((3, len(mixed.schema.columns)), 1e12, dtype=torch.float64)
    x[1] = -1e12
    x[2] = math.nan
    table = mixed.schema.decode(x)
    assert table["small"].to_pylist() == [255, 0, None] and table["flag"].to_pylist() == [True, False, None]
    assert table["whole"].to_pylist() == [10**12, -(10**12), None]
    assert all(table[name][2].as_py() is None for name in table.column_names)
    assert table["nanos"][0].as_py() > table["nanos"][1].as_py()


# --- warnings ---


def test_doubtful_columns_are_named():
    rng = np.random.default_rng(0)
    a = rng.normal(size=2000)
    steps, lump = rng.integers(0, 30, 2000) / 7, np.where(rng.random(2000) < 0.2, 0.25, rng.normal(size=2000))
    data = load(pa.table({"a": a, "same": a, "close": a + 1e-3 * rng.normal(size=2000), "steps": steps, "lump": lump}))
    warnings = " ".join(note for note in data.notes if note.startswith("Warning"))
    assert "in 1,600 rows steps has 30 distinct values" in warnings and "lump is 0.25 in 2" in warnings
    assert "equal columns: a and same" in warnings and "a and close (correlation 1.0000)" in warnings
    assert "a is" not in warnings


# --- real data ---


def test_flights():
    path, names = shared("flights.parquet"), ["dep_delay", "arr_delay", "air_time", "distance"]
    with pytest.raises(DataError, match="dep_delay 8,255, arr_delay 9,430, air_time 9,430"):
        load(path, columns=names)
    data = load(path, columns=names, context=["origin"], missing="drop")
    assert any("9,430 of 336,776 rows" in note for note in data.notes)
    assert (len(data.train), len(data.valid), len(data.test)) == (261_876, 32_735, 32_735)
    assert {column.kind.name for column in data.schema.columns} == {"integer"} and data.schema.discrete
    assert data.schema.context[0].vocabulary == ("EWR", "JFK", "LGA")
    table = data.test.to_table(data.schema)
    assert table["distance"].type == pa.int64()
    assert torch.equal(data.schema.encode(table)[0], data.test.x)
    flow = Flow(Normal((4,)), *data.schema.layers(), shape=(4,))
    assert torch.equal(flow.decode(flow.encode(data.train.x)), data.train.x)


def test_flights_times():
    data = load(shared("flights.parquet"), columns=["time_hour", "distance"])
    column = data.schema.columns[0]
    assert (column.kind.name, column.step, column.kind.written) == ("time", 3600, "%Y-%m-%dT%H:%M:%SZ")
    assert data.schema.decode(torch.tensor([[376_938.0, 1.0]], dtype=torch.float64))["time_hour"].to_pylist() == ["2012-12-31T18:00:00Z"]


def test_protein():
    data = load(shared("uci/protein.parquet"))
    assert (len(data.train), len(data.valid), len(data.test)) == (36_584, 4_573, 4_573)
    warnings = " ".join(note for note in data.notes if note.startswith("Warning"))
    assert "x7 has 340 distinct values" in warnings and "x0 and x4" in warnings
    z = (data.train.x - data.train.x.mean(0)) / data.train.x.std(0, correction=0)
    gaussian = torch.distributions.MultivariateNormal(torch.zeros(10).double(), z.T.cov())
    test = (data.test.x - data.train.x.mean(0)) / data.train.x.std(0, correction=0)
    assert gaussian.log_prob(test).mean().item() == pytest.approx(-5.309, abs=1e-3)
