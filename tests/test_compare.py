"""Runs on the same held-out rows: the differences are paired, trained rows are refused, and the picture is drawn."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from figures import words_stay_inside  # noqa: F401  (on by itself)
from typer.testing import CliRunner

import pushforward as pf
from pushforward.cli.commands import app


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.normal(size=n)
    return {"a": c + rng.normal(size=n), "b": c - rng.normal(size=n), "word": np.array(["x", "y z"])[(c > 0).astype(int)]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of the same rows, one of another seed's split, one of other columns; few steps."""
    path = tmp_path_factory.mktemp("runs")
    pyarrow.parquet.write_table(pa.table(table()), path / "data.parquet")
    pyarrow.parquet.write_table(pa.table(table(seed=1)), path / "new.parquet")
    told = {"report": False, "progress": False, "columns": ["a", "b"]}
    pf.fit(path / "data.parquet", "gaussian", out=path / "short", options=["train.steps=2"], context=["word"], **told)
    pf.fit(path / "data.parquet", "gaussian", out=path / "long", options=["train.steps=200"], context=["word"], **told)
    pf.fit(path / "data.parquet", "gaussian", out=path / "apart", options=["train.steps=2"], context=["word"], seed=1, **told)
    pf.fit(path / "data.parquet", "gaussian", out=path / "plain", options=["train.steps=2"], **told)
    return path


def test_differences_are_paired(folder):
    found = pf.compare([folder / "short", folder / "long"])
    a, b = (score.per_row for score in found.scores)
    assert [score.name for score in found.scores] == ["short", "long"] and len(a) == 60
    assert found.differences[0] == (0.0, 0.0)
    gap, error = found.differences[1]
    assert gap == pytest.approx((b - a).mean()) and error == pytest.approx((b - a).std() / math.sqrt(60))
    assert error < math.hypot(*(score.stderr for score in found.scores))
    assert found.scores[1].nats == pytest.approx(pf.evaluate(folder / "long").nats)
    assert found.verdict.startswith("long is best") and f"{gap:.3f} ± {error:.3f}" in found.verdict
    assert "level" in pf.compare([folder / "long", folder / "long", folder / "long"]).verdict


def test_rows_that_a_run_was_trained_on_are_refused(folder):
    with pytest.raises(ValueError, match=r"of 60 rows are training rows of .*apart; fit the runs with the same data and"):
        pf.compare([folder / "short", folder / "apart"])
    with pytest.raises(ValueError, match=r"of 600 rows are training rows of .*short"):
        pf.compare([folder / "short", folder / "long"], folder / "data.parquet")
    found = pf.compare([folder / "short", folder / "apart"], folder / "new.parquet")
    assert found.scores[0].rows == 600


def test_what_can_not_be_compared(folder, tmp_path):
    with pytest.raises(ValueError, match="at least two runs, got 1"):
        pf.compare([folder / "short"])
    with pytest.raises(ValueError, match="of other columns"):
        pf.compare([folder / "short", folder / "plain"])
    with pytest.raises(ValueError, match=r"ends in \.png"):
        pf.compare([folder / "short", folder / "long"], out=tmp_path / "picture.pdf")
    shutil.copytree(folder / "short", tmp_path / "memory")
    config = tmp_path / "memory" / "config.toml"
    config.write_text(config.read_text().replace(str(folder / "data.parquet"), "in memory"))
    with pytest.raises(ValueError, match="give the data"):
        pf.compare([tmp_path / "memory", folder / "short"])


def test_on_the_command_line(folder, tmp_path):
    """A table for people, JSON for programs, and a picture."""
    picture = tmp_path / "beside.png"
    result = CliRunner().invoke(app, ["compare", str(folder / "short"), str(folder / "long"), "-o", str(picture)])
    assert result.exit_code == 0, result.output
    assert "minus the first" in result.output and "long is best" in result.output and picture.read_bytes()[:4] == b"\x89PNG"
    result = CliRunner().invoke(app, ["compare", str(folder / "short"), str(folder / "long"), "--json"])
    found = json.loads(result.stdout)
    assert len(found["scores"]) == 2 and found["differences"][1][0] > 0 and found["verdict"].startswith("long is best")


@pytest.mark.parametrize("columns", [["a"], ["a", "b", "d"]])
def test_pictures_of_other_dimensions(columns, tmp_path):
    rng = np.random.default_rng(0)
    pyarrow.parquet.write_table(pa.table({name: rng.normal(size=200) for name in columns}), tmp_path / "d.parquet")
    told = {"report": False, "progress": False, "options": ["train.steps=1"]}
    runs = [pf.fit(tmp_path / "d.parquet", "gaussian", out=tmp_path / f"run of a rather long name {i}", **told) for i in range(2)]
    pf.compare(runs, out=tmp_path / "p.png")
    assert (tmp_path / "p.png").exists()


def test_images(tmp_path):
    told = {"report": False, "progress": False, "options": ["train.steps=1", "model.width=4", "model.steps=1", "model.scales=1"]}
    runs = [pf.fit("digits", "glow", out=tmp_path / f"{i}", **told) for i in range(2)]
    found = pf.compare(runs, out=tmp_path / "p.png")
    assert found.differences[1] == (0.0, 0.0) and "level" in found.verdict and (tmp_path / "p.png").exists()
