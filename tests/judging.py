"""Tests run over a copy of the package, in a process that finds torch imported already."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PATIENCE = 600.0  # seconds


def verdict(folder: Path, stages: Sequence[Sequence[str]], where: Path) -> tuple[int, str]:
    """What ``pytest``, run in ``where``, says of the package in ``folder``: its exit status, and what it printed.

    Each of the stages is its arguments for one run; the first that fails is the last. All of them are one process, forked from one that
    has imported what takes longest; the status is -1 if it had to be killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pytest", "numpy", "scipy.special", "pyarrow"])
    printed = folder / "printed.txt"
    process = context.Process(target=_run, args=(folder, [list(stage) for stage in stages], where, printed))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
    status = process.exitcode
    return -1 if status is None or status < 0 else status, printed.read_text(errors="replace") if printed.exists() else ""


def _run(folder: Path, stages: list[list[str]], where: Path, printed: Path) -> None:
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(where)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:  # of the pytest that asks
        del os.environ[name]
    os.environ["PYTHONPATH"] = str(folder)  # of processes that tests start
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = False
    status = 0
    for arguments in stages:
        status = int(pytest.main(arguments))
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            break
    sys.stdout.flush()
    os._exit(status)
