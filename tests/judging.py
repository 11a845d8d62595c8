"""Tests run over a copy of the package, in a process that finds torch imported already."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PATIENCE = 600.0  # seconds


def verdict(folder: Path, arguments: Sequence[str], where: Path) -> tuple[int, str]:
    """What ``pytest`` with these arguments, run in ``where``, says of the package in ``folder``: its exit status, and what it printed.

    Each call is a process of its own, forked from one that has imported what takes longest; -1 if it had to be killed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pytest", "numpy", "scipy.special", "pyarrow"])
    printed = folder / "printed.txt"
    process = context.Process(target=_run, args=(folder, list(arguments), where, printed))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
    status = process.exitcode
    return -1 if status is None or status < 0 else status, printed.read_text(errors="replace") if printed.exists() else ""


def _run(folder: Path, arguments: list[str], where: Path, printed: Path) -> None:
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(where)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:  # of the pytest that asks
        del os.environ[name]
    os.environ["PYTHONPATH"] = str(folder)  # of processes that tests start
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = False
    status = pytest.main(arguments)
    sys.stdout.flush()
    os._exit(int(status))
