"""Damaged and hostile files (tests/fuzz_files.py): each works, or gets one sentence; and the fuzzer sees what it should see."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import fuzz_files
import pytest

HERE = Path(__file__).parent
ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])}  # threads do not survive a fork


def test_a_few_files_of_each_kind(tmp_path):
    """In this process, but for Arrow files, which used to end it."""
    fuzz_files.furnish(tmp_path)
    kinds = [kind for kind in fuzz_files.CASES if "arrow" not in kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {(kind, number): fuzz_files.attempt(kind, number, 0, tmp_path) for kind in kinds for number in range(100 // len(kinds))}
    assert not {case: outcome for case, outcome in found.items() if outcome not in ("works", "refused")}
    assert 10 < sum(outcome == "works" for outcome in found.values()) < 90, "some damage does not matter"


def test_a_few_runs_that_were_tampered_with():
    tampered("12", "5")


@pytest.mark.slow
def test_hundreds_of_runs_that_were_tampered_with():
    tampered("400", "0")


def tampered(cases: str, seed: str) -> None:
    done = subprocess.run([sys.executable, HERE / "fuzz_runs.py", cases, seed], capture_output=True, text=True, env=ALONE)
    assert done.returncode == 0 and "FAULT" not in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]
    assert "'works'" in done.stdout and "'sentence'" in done.stdout


@pytest.mark.slow
def test_thousands_of_files():
    done = subprocess.run([sys.executable, HERE / "fuzz_files.py", "4800", "0"], capture_output=True, text=True, env=ALONE)
    assert done.returncode == 0 and "4,800 cases, 0 failures" in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]


PLANTED = """
import os, signal, subprocess, time, pickle
import fuzz_files
from pushforward.data import DataError

def crash(folder): os.kill(os.getpid(), signal.SIGSEGV)
def hang(folder): time.sleep(60)
def start(folder): subprocess.run(["true"])
def litter(folder): (folder / "out.tmp").write_text("half")
def blunder(folder): {}["absent"]
def ramble(folder): raise DataError("x" * 5000)
def colour(folder): raise DataError(chr(27) + "[31m")
def unpickle(folder): pickle.loads(pickle.dumps(os.getcwd))
def good(folder): pass

fuzz_files.LIMIT = 2
fuzz_files.furnish = lambda folder: (folder / "images").mkdir()
uses = (crash, hang, start, litter, blunder, ramble, colour, unpickle, good)
fuzz_files.CASES = {use.__name__: (lambda rng: {"t.csv": b"a"}, use) for use in uses}
seen, failures = fuzz_files.fuzz(2 * len(uses), 0, list(fuzz_files.CASES))
print("\\n".join(failures))
assert seen["good", "works"] == 2 and len(failures) == 2 * (len(uses) - 1), seen
"""


@pytest.mark.slow
def test_planted_faults_of_every_kind_are_seen():
    done = subprocess.run([sys.executable, "-c", PLANTED], capture_output=True, text=True, env=ALONE)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for words in (
        "crash 1 (seed 0): killed by SIGSEGV",
        "killed by SIGALRM",
        "started subprocess.Popen",
        "left behind: out.tmp",
        "KeyError",
    ):
        assert words in done.stdout, done.stdout
