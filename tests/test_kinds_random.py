"""Columns of every type at random: what is accepted comes back, what is drawn is accepted, and nothing but one sentence is raised."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from pushforward.data import DataError
from pushforward.data.cells import Cells
from pushforward.data.infer import infer, role
from pushforward.data.kinds import kind_from_json

UNITS = ("s", "ms", "us", "ns")
MAKERS = {
    "floats": lambda r, n: spread(r, n),
    "single": lambda r, n: spread(r, n).astype(np.float32),
    "half": lambda r, n: np.clip(spread(r, n), -6e4, 6e4).astype(np.float16),
    "rounded": lambda r, n: np.round(r.normal(size=n) * 10 ** r.integers(0, 5), int(r.integers(0, 6))),
    "rounded, single": lambda r, n: np.round(r.lognormal(0, 1, n), int(r.integers(0, 4))).astype(np.float32),
    "whole": lambda r, n: whole(r, n, r.choice(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])),
    "multiples": lambda r, n: r.integers(0, int(10 ** r.integers(1, 4)), n) * int(r.choice([1, 2, 5, 10, 25, 1000])),
    "moments": lambda r, n: pa.array(far(r, n), pa.timestamp(str(r.choice(UNITS)), None if r.random() < 0.5 else "Asia/Kolkata")),
    "days": lambda r, n: pa.array(r.integers(-700_000, 2_900_000, n).astype(np.int32), pa.date32()),
    "durations": lambda r, n: pa.array(far(r, n), pa.duration(str(r.choice(UNITS)))),
    "times of day": lambda r, n: pa.array(r.integers(0, 86_400_000_000, n) // int(r.choice([1, 1000, 10**6])), pa.time64("us")),
    "words": lambda r, n: pa.array(r.choice([f"w{i}" for i in range(int(r.integers(1, 60)))], n)),
    "dictionary": lambda r, n: pa.array(r.choice([f"w{i}" for i in range(int(r.integers(1, 60)))], n)).dictionary_encode(),
    "decimals": lambda r, n: decimals(r, n, int(r.integers(2, 18))),
    "truth": lambda r, n: r.random(n) < r.random(),
    "with zeros": lambda r, n: np.where(r.random(n) < 0.3, 0.0, spread(r, n)),
    "shares": lambda r, n: np.clip(r.normal(0.5, 0.5, n), 0, 1),
}


def spread(r: np.random.Generator, n: int) -> np.ndarray:
    """Of any size, about any place."""
    return r.normal(size=n) * 10.0 ** r.integers(-12, 13) + r.choice([-1, 0, 1, 1e3, 1e6, 1e9, 1e12])


def far(r: np.random.Generator, n: int) -> np.ndarray:
    low, high = 2 ** r.integers(2, 62, 2)
    return r.integers(-low, high, n)


def whole(r: np.random.Generator, n: int, dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    low, high = (int(10 ** r.integers(0, 19)) for _ in range(2))
    return r.integers(max(limits.min, -low), min(limits.max, high), n, dtype=dtype, endpoint=True)


def decimals(r: np.random.Generator, n: int, precision: int) -> pa.Array:
    scale, most = int(r.integers(0, min(precision, 8) + 1)), 10 ** (precision - 1)
    return pa.array([Decimal(int(k)).scaleb(-scale) for k in r.integers(-most, most, n)], pa.decimal128(precision, scale))


@pytest.mark.parametrize("maker", MAKERS)
def test_the_law_holds_for_whatever_comes(maker):
    accepted = 0
    for seed in range(25):
        r = np.random.default_rng(seed)
        values = pa.array(MAKERS[maker](r, int(r.integers(20, 300))))
        cells = Cells(pa.chunked_array([values.slice(0, 7), values.slice(7)]), "v", "table")
        try:
            assert role(cells, None) in ("data", "identifier")
            kind = infer(cells)
            x = kind.encode(cells)
        except DataError as error:
            assert "\n" not in str(error) and "column 'v'" in str(error)
            continue
        accepted += 1
        assert np.isfinite(x).all() and kind_from_json(json.loads(json.dumps(kind.to_json()))) == kind
        back = kind.decode(x)
        assert back.type == values.type and (back.equals(values) or back.to_pylist() == values.to_pylist()), (seed, kind)
        drawn = kind.decode(np.array([-1e300, 1e300, 0.0, np.nan]))
        assert drawn.type == values.type and drawn[3].as_py() is None
        kind.encode(Cells(pa.chunked_array([drawn.slice(0, 3)]), "v", "samples"))
    assert accepted >= 5
