"""What reaches the command line from outside: signals, terminals, seeds, sizes, tables without rows, and names that are commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_cli import QUICK, main_quietly
from test_cli import cli as cli

from pushforward import cli as cli_room
from pushforward.signals import EndSignals, StopSignals
from pushforward.words import listing, printable

COMMAND = [sys.executable, "-m", "pushforward"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table of two columns and a run fitted to it."""
    folder = tmp_path_factory.mktemp("outside")
    x = np.random.default_rng(0).normal(size=(300, 2))
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "word": "=1+2"}).to_parquet(folder / "t.parquet", index=False)
    main_quietly("fit", str(folder / "t.parquet"), "--columns", "a,b", "-o", str(folder / "run"), *QUICK)
    return folder


def refused(outcome: tuple[int, str, str], *words: str) -> None:
    code, _, err = outcome
    assert code == 2 and all(word in err for word in words) and "Traceback" not in err, err
    assert len(err.strip().splitlines()[-1]) < 700 and "\x1b" not in err


# --- seeds and sizes ---


@pytest.mark.parametrize("seed", [-1, 2**32, 99999999999999999999])
def test_seeds(seed, cli, made, tmp_path):
    names = {"RUN": made / "run", "TABLE": made / "t.parquet", "OUT": tmp_path / "out.png"}
    for line in ("fit TABLE -o OUT", "sample RUN", "score RUN TABLE -o OUT", "distill RUN", "gallery -o OUT", "interpolate RUN -o OUT"):
        refused(cli(*(names.get(word, word) for word in line.split()), "--seed", seed), "Invalid value for '--seed'")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [2 * 10**12, 10**400])
def test_more_samples_than_memory(number, cli, made):
    refused(cli("sample", made / "run", "-n", number), "GiB of memory", "draw fewer at a time")


def test_memory_that_does_not_suffice_is_one_sentence(cli, made, monkeypatch):
    def greedy(*arguments, **options):
        return np.zeros(2**50)

    monkeypatch.setattr("pushforward.verbs.sample", greedy)
    refused(cli("sample", made / "run"), "the memory does not suffice", "ask for less")


# --- tables without rows, and damaged ones ---


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_score_of_no_rows(ending, cli, made, tmp_path):
    empty = pq.read_table(made / "t.parquet").slice(0, 0)
    pq.write_table(empty.select(["a", "b"]), tmp_path / "empty.parquet")
    code, out, err = cli("score", made / "run", tmp_path / "empty.parquet", "-o", tmp_path / f"out{ending}")
    assert code == 0 and "0 rows in" in out and "none with figures" in out, err
    if ending == ".parquet":
        assert pq.read_table(tmp_path / "out.parquet").schema.names == [
            *["a", "b", "log_likelihood", "bits", "percentile", "unusual", "column", "reason"]
        ]
    assert cli("score", made / "run", tmp_path / "empty.parquet", "-o", tmp_path / f"out{ending}", "--json")[0] == 0


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_damaged_input_is_not_blamed_on_the_output(cut, cli, made, tmp_path):
    data = bytearray((made / "t.parquet").read_bytes())
    place = int(cut * len(data))
    data[place : place + 200] = bytes(len(data[place : place + 200]))
    (tmp_path / "bad.parquet").write_bytes(bytes(data))
    code, out, err = cli("score", made / "run", tmp_path / "bad.parquet", "-o", tmp_path / "out.parquet")
    if code:
        refused((code, out, err), "bad.parquet")
        assert "free some space" not in err and not (tmp_path / "out.parquet").exists()


def test_a_place_that_cannot_be_written_is_not_full(tmp_path):
    from pushforward.training.atomic import write_text

    with pytest.raises(OSError, match="its folder is no longer there"):
        write_text(tmp_path / "gone" / "a.txt", "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="is not a regular file, so it is not replaced"):
        write_text(tmp_path / "folder", "a")


def test_gaps_are_not_answered_by_an_option_that_is_not_there(cli, made, tmp_path):
    pd.DataFrame({"a": [1.0, None], "b": [0.0, 1.0]}).to_csv(tmp_path / "gap.csv", index=False)
    refused(cli("evaluate", made / "run", tmp_path / "gap.csv"), "a 1", "drop those rows or fill them in; only a run that was fitted")
    code, out, _ = cli("score", made / "run", tmp_path / "gap.csv", "-o", tmp_path / "o.csv")
    assert code == 0 and "1 without figures, as values are missing" in out
    assert pd.read_csv(tmp_path / "o.csv")["reason"].fillna("").tolist() == ["", "a missing"]


def test_cells_pass_through_as_they_came(cli, made, tmp_path):
    """A table is data, whatever a spreadsheet makes of it: what goes in can be joined with what comes out."""
    assert cli("score", made / "run", made / "t.parquet", "-o", tmp_path / "o.csv")[0] == 0
    assert set(pd.read_csv(tmp_path / "o.csv")["word"]) == {"=1+2"}


def test_columns_that_a_file_cannot_hold(cli, made, tmp_path):
    table = pq.read_table(made / "t.parquet")
    pq.write_table(table.append_column("lists", pa.array([[1, 2]] * 300)), tmp_path / "t.parquet")
    refused(cli("score", made / "run", tmp_path / "t.parquet", "-o", tmp_path / "o.csv"), "o.csv: can't hold these columns", "use .parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert cli("score", made / "run", tmp_path / "t.parquet", "-o", tmp_path / "o.parquet")[0] == 0


# --- names ---


def test_what_is_printed_commands_no_terminal(cli, made, tmp_path):
    name = "a\x1b]0;owned\x07"
    pd.DataFrame({name: np.random.default_rng(0).normal(size=200), "b": [0.1, 0.2] * 100}).to_parquet(tmp_path / "t.parquet", index=False)
    code, out, err = cli("fit", tmp_path / "t.parquet", "-o", tmp_path / "run", "--model", "nsf", *QUICK)
    assert code == 0 and r"a\x1b]0;owned\x07" in err and "\x1b" not in out + err
    code, out, err = cli("doctor", tmp_path / "run")
    assert code == 0 and "\x1b" not in out
    refused(cli("score", tmp_path / "run", made / "t.parquet", "-o", tmp_path / "o.csv"), r"\x1b]0;owned\x07")


def test_long_text_keeps_its_ends():
    assert printable("x" * 3000 + " remedy", 600).endswith("x remedy") and len(printable("x" * 3000, 600)) == 600
    assert printable("tab\there\u202e\udc80") == r"tab\there\u202e\udc80" and printable("Größe") == "Größe"
    assert len(listing(["y" * 5000] * 20)) < 600


# --- signals and terminals ---


def started(*arguments: object) -> subprocess.Popen:
    """A command, once it listens to signals: the interpreter's own start is not ours."""
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        if int(status.get("SigCgt", "0"), 16) >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.002)
    assert process.poll() is None, "it never listened"
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("number", "delay"), [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.1), (signal.SIGINT, 0.4), (signal.SIGHUP, 0.8)])
def test_signals_while_it_starts(number, delay, made):
    process = started("sample", made / "run", "-n", "10")
    time.sleep(delay)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    told = process.returncode == 128 + number and "stopped by" in err
    assert told or (process.returncode == 0 and out), (process.returncode, err)


@pytest.mark.parametrize("signals", [EndSignals, StopSignals])
def test_an_interrupt_within_a_callback_is_not_lost(signals, capsys):
    """As one that falls into the callback of an import's lock: Python prints it and goes on."""
    thing = threading.Event()
    called = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    with signals() as received:
        if signals is StopSignals:
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            del thing
            time.sleep(10)
    assert called() is None and received.received == "Ctrl-C"
    assert capsys.readouterr().err == ""


def test_threads_leave_hooks_alone():
    """Where no handler may be set there is no interrupt to lose, and threads that overlap would restore each other's hook."""
    hooks = [sys.unraisablehook]

    def within() -> None:
        with EndSignals():
            hooks.append(sys.unraisablehook)

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert hooks[1] is hooks[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_while_it_trains(number, made, tmp_path):
    """A checkpoint, and the exit code that shells and schedulers know."""
    process = started(
        "fit", made / "t.parquet", "-o", tmp_path / "run", *QUICK, "train.steps=1000000", "train.every=20", "train.compile=no"
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in err and "go on with --resume" in err
    assert (tmp_path / "run" / "state" / "last.safetensors").exists()


BARE = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}


@pytest.fixture(scope="module")
def spelled(tmp_path_factory):
    """A table with an umlaut in a name, and a run fitted to it."""
    folder = tmp_path_factory.mktemp("spelled")
    rng = np.random.default_rng(0)
    pq.write_table(pa.table({"größe": rng.normal(size=200), "b": rng.normal(size=200)}), folder / "t.parquet")
    main_quietly("fit", str(folder / "t.parquet"), "-o", str(folder / "run"), *QUICK)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["fit", "sample", "score", "evaluate", "doctor", "list", "gallery", "distill", "dry run"])
def test_without_umlauts_a_home_or_a_terminal(verb, spelled, tmp_path):
    run, table = spelled / "run", spelled / "t.parquet"
    arguments = {
        "fit": ["fit", table, "-o", tmp_path / "other", *QUICK],
        "dry run": ["fit", table, "--dry-run", "--time-limit", "1s"],
        "sample": ["sample", run, "-n", "3"],
        "score": ["score", run, table, "-o", tmp_path / "o.csv"],
        "evaluate": ["evaluate", run],
        "doctor": ["doctor", run],
        "list": ["list", "models"],
        "gallery": ["gallery", "--data", "moons", "--models", "gaussian", "--time-limit", "1s", "-o", tmp_path / "g.png"],
        "distill": ["distill", run, "-o", tmp_path / "student", "--rows", "100", *QUICK],
    }[verb]
    environment = {key: value for key, value in os.environ.items() if key != "HOME"} | BARE
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=environment)
    assert done.returncode == 0 and b"Error" not in done.stderr, done.stderr[-1500:].decode("utf-8", "replace")


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_wait_calmly_unless_the_environment_says_how(own):
    """Said before torch is loaded, which reads it once."""
    code = "import os, sys; from pushforward import cli; cli.wait_calmly(); print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    environment = {name: value for name, value in os.environ.items() if name not in cli_room.WAITING} | own
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", own.get("GOMP_SPINCOUNT", "None") if own else cli_room.SPINS]
