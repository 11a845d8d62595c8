"""Every command that the program prints runs when it is pasted, whatever the names and values in it are, and runs nothing else."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from pushforward.cli import main
from pushforward.cli.values import conditions, names
from pushforward.shell import cells, command, joined

TINY = ["model.steps=1", "model.width=4", "train.steps=3"]
AWKWARD = ["$(touch pwn)", "`touch pwn`", "O'Fallon", 'a "word"', "Paris, TX", "Größe; touch pwn", " a = b ", "-x", "two\nlines", "\x1b[31m", "!!"]
ROWS = 60


@pytest.fixture(scope="module")
def bin_path():
    """A PATH on which ``pushforward`` is this source tree's."""
    python = Path(os.sys.executable)
    return f"{python.parent}{os.pathsep}{os.environ['PATH']}"


def table() -> pa.Table:
    """Data and, for each way in which a value can be awkward, a column to condition on."""
    random = np.random.default_rng(0)
    day = pd.Timestamp("2021-03-04")
    hours = pd.to_timedelta(random.integers(0, 1000, ROWS), "h")
    data = {"$(touch pwn)": random.normal(size=ROWS), "price, net": random.normal(size=ROWS), " hours": random.normal(size=ROWS)}
    context = {f"word {word}": random.choice([word, "zz"], ROWS) for word in AWKWARD}
    context |= {
        "day": (day + pd.to_timedelta(random.integers(0, 100, ROWS), "D")).date,
        "stamp": (day + hours).to_numpy(),
        "zoned": (day + hours).tz_localize("Europe/Berlin", ambiguous="NaT", nonexistent="NaT"),
        "written": (day + hours).strftime("%Y-%m-%d %H:%M:%S"),
        "flag": random.random(ROWS) < 0.5,
        "large": 27_875_512 + random.integers(0, 99, ROWS),
        "negative": -random.integers(1, 99, ROWS),
        "half": random.normal(size=ROWS).astype("float32"),
        "a=b": random.normal(size=ROWS),
    }
    return pa.table(data | context)


def run_line(line: str, capsys) -> str:
    """What a printed command prints, run in this process."""
    shown = subprocess.run(["bash", "-c", f"pushforward() {{ printf '%s\\0' \"$@\"; }}; {line}"], capture_output=True, text=True)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(shown.stdout.split("\0")[:-1])
    captured = capsys.readouterr()
    assert stop.value.code == 0, f"{line}\n{captured.err}"
    return captured.out + captured.err


def printed(text: str) -> list[str]:
    """The commands in what was printed."""
    return re.findall(r"^\s*(pushforward .*)$", text, re.MULTILINE)


def paste(line: str, path: str) -> None:
    """Run a printed command as a shell does."""
    done = subprocess.run(["bash", "-c", line], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the awkward table in it."""
    monkeypatch.chdir(tmp_path)
    pq.write_table(table(), "my $(touch pwn) table.parquet")
    yield tmp_path
    assert not (tmp_path / "pwn").exists()


def fit_line(*more: str) -> str:
    found = table()
    return command(
        "fit",
        "my $(touch pwn) table.parquet",
        "--columns",
        joined(found.column_names[:3]),
        "--context",
        joined(found.column_names[3:]),
        "--model",
        "maf",
        "-o",
        "O'Fallon's runs",
        "--quiet",
        *TINY,
        *more,
    )


def test_what_fit_prints_runs_in_a_shell(folder, bin_path, capsys):
    text = subprocess.run(["bash", "-c", fit_line("--no-report")], env=os.environ | {"PATH": bin_path}, capture_output=True, text=True)
    lines = printed(text.stdout)
    assert [line.split()[1] for line in lines if " fit " not in line] == ["sample", "score", "evaluate", "doctor"], text.stderr
    assert "TABLE" not in text.stdout
    paste(next(line for line in lines if " sample " in line), bin_path)
    for line in lines:
        if " sample " not in line:
            run_line(line, capsys)
    drawn = pq.read_table("samples.parquet")
    assert drawn.num_rows == 1000
    before = table()
    for name in before.column_names[3:]:
        value, known = drawn[name][0].as_py(), before[name].to_pylist()
        assert drawn[name].type == before[name].type
        assert value in known or (isinstance(value, float) and np.isclose(value, known, rtol=1e-5).any()), name
