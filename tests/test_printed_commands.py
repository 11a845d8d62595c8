"""Every command that the program prints runs when it is pasted, whatever the names and values in it are, and runs nothing else."""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pushforward as pf
from pushforward.cli import main
from pushforward.cli.commands import app
from pushforward.cli.values import conditions, names
from pushforward.data import load
from pushforward.data.context import assignments, context_rows, example
from pushforward.shell import cells, command, joined, quoted
from pushforward.usage import usage

TINY = ["model.steps=1", "model.width=4", "train.steps=3"]
AWKWARD = [
    "$(touch pwn)",
    "`touch pwn`",
    "O'Fallon",
    'a "word"',
    "Paris, TX",
    "Größe; touch pwn",
    " a = b ",
    "-x",
    "two\nlines",
    "\x1b[31m",
    "!!",
]
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


def test_remedies_run(folder, capsys):
    """Where a baseline wins: the same run trained longer, and that baseline as a run, of the same columns."""
    sides = np.random.default_rng(0).choice([-9.0, 9.0], (400, 1)) + np.random.default_rng(1).normal(size=(400, 2))
    pd.DataFrame(sides, columns=["a, b", "c"]).assign(d=1.5, e="x").to_csv("two 'modes'.csv", index=False)
    line = command("fit", "two 'modes'.csv", "--exclude", "d", "--seed", 3, "-o", "my run", "--model", "maf", "--no-report", "-q", *TINY)
    lines = printed(run_line(line, capsys))
    longer, mixture = [line for line in lines if " fit " in line]
    assert "train.steps=6" in longer and "--model gaussian_mixture" in mixture and "--seed 3" in mixture
    for line in (longer, f"{mixture} --no-report train.steps=3"):
        run_line(line, capsys)
    assert len(pf.load("my run").metrics()) and pf.load("my run").config["train"]["steps"] == 6
    assert pf.load("my run-mixture").schema.names == ["a, b", "c"]


@pytest.mark.slow  # pictures, a student and images
def test_what_reports_and_other_verbs_print_runs(folder, bin_path, capsys):
    """Of a report, of a student, and of images given their labels."""
    for line in printed(run_line(fit_line(), capsys)):
        run_line(line, capsys)
    page = html.unescape(Path("O'Fallon's runs", "report.html").read_text())
    lines = printed(page.replace("<pre>", "\n").replace("</pre>", "\n"))
    assert len(lines) == 8 and "TABLE" not in page  # what a run is used for, and what can be asked of its columns
    for line in lines:
        run_line(line, capsys)
    student = command("distill", "O'Fallon's runs", "train.steps=3", "--rows", 100, "--no-report", "-q")
    for line in printed(run_line(student, capsys)):
        run_line(line, capsys)
    for label in ("$(touch pwn)", "it's, two"):
        Path("my $(touch pwn) images", label).mkdir(parents=True)
        for i in range(20):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8), np.uint8)
            Image.fromarray(pixels).save(Path("my $(touch pwn) images", label, f"{i}.png"))
    small = ["--context", "label", "--model", "real_nvp_image", "model.scales=1", "model.width=4", "model.depth=1", "train.steps=2"]
    for line in printed(run_line(command("fit", "my $(touch pwn) images", *small, "-q", "-o", "pictures; of"), capsys)):
        paste(line, bin_path)


def test_data_in_memory_are_asked_for(folder, capsys):
    """What was given as an object has no path: a placeholder stands for it, as a file of that name."""
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    run = pf.fit(rows, "maf", out="kept run", options=TINY, report=False, progress=False)
    rows.to_parquet("TABLE.parquet")
    lines = usage(run)
    assert [line.count("TABLE.parquet") for line in lines] == [0, 1, 1, 1]
    for line in lines:
        run_line(line, capsys)


def test_lists_come_back_as_they_were():
    """Any two of the awkward words, and each alone, within one option."""
    for first in ["", *AWKWARD]:
        assert cells(joined([first])) == [first]
        for second in AWKWARD:
            assert cells(joined([first, second])) == [first, second]
    assert cells("a, b,c") == ["a", "b", "c"] and names([" hours", '"a, b",c']) == [" hours", "a, b", "c"]
    with pytest.raises(ValueError, match="separated by commas"):
        cells('"a,b')


def test_words_reach_a_program_as_they_were():
    line = " ".join(map(quoted, AWKWARD))
    shown = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True).stdout
    assert shown.split("\0")[:-1] == AWKWARD and line.isprintable()
    assert command("score", Path("-o.csv")) == "pushforward score ./-o.csv"


def test_known_names_may_hold_equals_signs():
    assert conditions(["a=b=1,2", "a=c"], ["a", "a=b"]) == {"a=b": ["1", "2"], "a": ["c"]}
    assert conditions(["rows.csv"], ["a"]) == "rows.csv"
    assert conditions(['city="Paris, TX",Rome'], ["city"]) == {"city": ["Paris, TX", "Rome"]}


@pytest.fixture(scope="module")
def schema():
    """Of the awkward table; all its columns but three are context."""
    found = table()
    return load(found, columns=found.column_names[:3], context=found.column_names[3:]).schema


def test_examples_are_what_the_data_hold(schema):
    """As the options of a command and as Python values: a row of the context, of values that are in the table."""
    columns = schema.context
    row = context_rows(schema, conditions(assignments(columns), [column.name for column in columns]))
    again = context_rows(schema, {column.name: example(column) for column in columns})
    smallest = [[0 if column.vocabulary else column.minimum for column in columns]]
    np.testing.assert_allclose(row, smallest, rtol=1e-5)
    np.testing.assert_array_equal(row, again)


SPELLINGS = {
    "day": ["2021-03-09", "2021-03-09T00:00:00Z", "20210309", pd.Timestamp("2021-03-09"), pd.Timestamp("2021-03-09").date()],
    "stamp": [
        "2021-03-09 10:00",
        "2021-03-09T10:00:00",
        "2021-03-09T10:00:00Z",
        "2021-03-09T12:00+02:00",
        pd.Timestamp("2021-03-09 10:00"),
    ],
    "zoned": ["2021-03-09 10:00", "2021-03-09T10:00:00+01:00", "2021-03-09T09:00:00Z"],
    "written": ["2021-03-09 10:00:00", "2021-03-09T10:00:00Z", "2021-03-09 10:00"],
    "flag": ["true", "True", "yes", "1", "Y", True],
    "large": ["27875513", " 27875513", "27875513.0", "2.7875513e7", 27875513],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_context_value_may_be_spelled_as_people_do(schema, name):
    place = [column.name for column in schema.context].index(name)
    given = {column.name: example(column) for column in schema.context}
    found = [context_rows(schema, given | {name: spelling})[0, place].item() for spelling in SPELLINGS[name]]
    assert len(set(found)) == 1, found
    if name == "flag":
        assert context_rows(schema, given | {name: "no"})[0, place] == 0 != found[0]


@pytest.mark.parametrize("name, value", [("day", "19358"), ("stamp", "soon"), ("flag", "maybe"), ("large", "many"), ("half", "nan")])
def test_what_is_no_value_of_a_column_is_said_with_one_that_is(schema, name, value):
    given = {column.name: example(column) for column in schema.context}
    with pytest.raises(ValueError, match=f"sample: '{name}' is .*'{value}'"):
        context_rows(schema, given | {name: value})


def test_whole_seconds_are_times_in_either_spelling():
    seconds = 1_614_800_000 + np.arange(60) * 3_600
    found = load(pa.table({"x": np.arange(60) / 7, "t": seconds}), columns=["x"], context=["t"], kinds={"t": "time"}).schema
    assert context_rows(found, {"t": "1614800000"}) == context_rows(found, {"t": "2021-03-03T19:33:20Z"})
    assert assignments(found.context) == ["t=1614800000"] or int(assignments(found.context)[0][2:]) in seconds


def test_excluded_columns_take_no_part():
    rows = pd.DataFrame({"x": np.arange(50) / 7, "a, b": 1.5, "c": 2.5, "y": np.arange(50) % 9})
    with pytest.raises(ValueError, match=r"'a, b' is always 1.5, 'c' is always 2.5.*--exclude '\"a, b\",c'"):
        load(rows, kinds={"a, b": "real", "c": "real"})
    assert load(rows, exclude=["a, b", "c"]).schema.names == ["x", "y"]
    assert load(rows, columns=["x", "c"], exclude="c").schema.names == ["x"]
    with pytest.raises(ValueError, match="did you mean 'a, b'"):
        load(rows, exclude=["a,b"])
    assert pf.fit(rows, "maf", exclude=["a, b", "c"], options=TINY, report=False, progress=False).config["data"]["exclude"] == ["a, b", "c"]


def options_by_verb() -> dict[str, set[str]]:
    import typer

    verbs = typer.main.get_command(app).commands
    return {name: {flag for option in verb.params for flag in (*option.opts, *option.secondary_opts)} for name, verb in verbs.items()}


def test_options_that_sentences_name_exist():
    """Sentences that begin with a verb (``score: ... --seed``) and commands in them (``fit --exclude``) name options of that verb.

    In rooms that all verbs use, a verb stands before each option.
    """
    source, known, seen = Path(pf.__file__).parent, options_by_verb(), 0
    every = {"--help"}.union(*known.values())
    for path in source.rglob("*.py"):
        room = path.relative_to(source).parts[0]
        if room == "kernels":  # flags of compilers
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            parts = getattr(node, "values", [node]) if isinstance(node, ast.Constant | ast.JoinedStr) else []
            text = "".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
                seen += 1
                assert option in every, f"{path.name}: {text}"
                before = re.search(rf"([a-z]+) {option}", text) or re.match(r"([a-z]+):", text)
                verb = before[1] if before else ""
                assert verb not in known or option in known[verb], f"{path.name}: {text}"
                assert room not in ("data", "doctor", "evaluation") or verb in known, f"{path.name}: {text}"
    assert seen > 20
