"""Models beside each other: the pictures, the table, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from figures import words_stay_inside  # noqa: F401  (on by itself)
from typer.testing import CliRunner

from pushforward.cli.commands import app
from pushforward.verbs import gallery


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "plane.npy"
    np.save(path, np.random.default_rng(0).normal(size=(600, 2)) * [1.0, 3.0])
    return path


def test_pictures_and_table(plane, tmp_path):
    result = CliRunner().invoke(
        app,
        ["gallery", "--models", "gaussian", "--models", "maf:steps=1,width=8", "--data", str(plane), "--time-limit", "1s"]
        + ["-o", str(tmp_path / "out"), "-q"],
    )
    assert result.exit_code == 0, result.output
    rows = [line.strip("| ").split(" | ") for line in (tmp_path / "out" / "table.md").read_text().splitlines()]
    assert rows[0] == ["data", "gaussian", "maf:steps=1,width=8"] and rows[2][0] == "plane"
    best = -np.log(2 * np.pi * np.e) - np.log(3)  # minus the entropy
    assert all(best - 1 < float(cell) < best + 0.3 for cell in rows[2][1:])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"plane.png", "wall.png", "table.md"}


@pytest.mark.parametrize(
    ("models", "data", "words"),
    [
        ([], ["moons"], "at least one"),
        (["real_nwp"], ["moons"], "did you mean 'real_nvp'"),
        (["maf"], ["wine"], "two columns"),
        (["maf:wdith=3"], ["moons"], "width"),
    ],
)
def test_refusals(models, data, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        gallery(models, data, tmp_path, time_limit=1, progress=False)
