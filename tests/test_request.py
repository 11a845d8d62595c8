"""What was asked of the data: said once, remembered in config.toml, handed on to runs that start from it."""

from __future__ import annotations

import tomllib

import numpy as np
import pandas as pd
import pytest
import tomli_w

from pushforward import fit, load
from pushforward.data.request import Request
from pushforward.data.tables import IN_MEMORY

TABLE = {
    "columns": ["a", "b, c"],
    "exclude": ["d"],
    "context": ["e"],
    "kinds": {"a": "interval:0:10"},
    "missing": "drop",
    "weight": "w",
    "split": "day",
    "group": "who",
    "valid": "moons",
    "seed": 3,
}
IMAGES = {"context": ["label"], "seed": 1, "bits": 5, "size": (16, 8), "crop": 40, "gray": True, "test": "digits"}


@pytest.mark.parametrize("asked", [TABLE, IMAGES, {}], ids=["table", "images", "nothing"])
def test_a_run_remembers_what_was_asked(asked):
    """Through TOML and back, beside keys of config.toml that are no part of it."""
    request = Request("digits", **asked)
    kept = {name: value for name, value in request.to_table(asked).items() if value is not None}
    found = Request.from_table(tomllib.loads(tomli_w.dumps(kept | {"name": "digits", "strange": 1})))
    assert found.source == "digits" and found.said() == request.said() == {k: list(v) if k == "size" else v for k, v in asked.items()}
    assert found.size == request.size and not found.in_memory


def test_a_table_of_an_earlier_version():
    """A run of images and one of a table, as config.toml had them before there was a Request."""
    found = Request.from_table({"source": "/d/x", "name": "x", "context": ["label"], "seed": 0, "size": [28, 20], "gray": False})
    assert found.arguments(("context", "size", "bits", "gray", "test")) == {"context": ["label"], "size": (28, 20), "gray": False}
    found = Request.from_table({"source": IN_MEMORY, "name": "array", "missing": "error", "seed": 0})
    assert found.said() == {"missing": "error"} and found.in_memory  # the default of then
    assert Request.from_table({}).source is None


def test_objects_are_remembered_as_such():
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    request = Request(frame, columns=frame.columns, exclude=(), context="b", kinds={}, valid=np.zeros((2, 2)))
    assert request.said() == {"columns": ["a", "b"], "context": ["b"], "valid": IN_MEMORY}
    assert request.in_memory and request.called == "DataFrame" and request.to_table([]) == {"source": IN_MEMORY}


def test_what_a_run_to_start_from_hands_on():
    """How columns are understood; not which rows, nor what is said anew."""
    theirs = {"source": "old.csv", "name": "old"} | TABLE | {"bits": 5, "size": [16, 8]}
    found = Request("new.csv", context="x", seed=9).after(theirs)
    assert found.source == "new.csv" and found.seed == 9 and found.valid is None and found.size == (16, 8)
    assert found.said() == {k: v for k, v in TABLE.items() if k not in ("valid", "split", "group")} | {
        "context": ["x"],
        "seed": 9,
        "bits": 5,
        "size": [16, 8],
    }


def test_fit_takes_names_of_any_kind(tmp_path):
    """An index of pandas as well as a list."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    fit(frame, "gaussian", columns=frame.columns[:2], options=["train.steps=1"], out=tmp_path / "run", report=False, progress=False)
    run = load(tmp_path / "run")
    assert run.config["data"] == {
        "source": IN_MEMORY,
        "name": "data frame",
        "columns": ["a", "b"],
        "missing": "keep",
        "seed": 0,
        "split": "random",
    }
    assert run.request.columns == ["a", "b"] and run.request.in_memory
