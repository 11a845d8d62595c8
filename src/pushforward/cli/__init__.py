"""The command line: a thin layer over :mod:`pushforward.verbs`, which is imported when a verb runs so that --help is quick."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from ..signals import EndSignals
from ..words import tell

__all__ = ["main"]

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")  # how threads of OpenMP wait for each other
SPINS = "2500"


def wait_calmly() -> None:
    """Let torch's threads sleep soon where they wait for each other, unless the environment says how: to be called before torch is loaded.

    By default they spin some milliseconds, which beside other busy processes takes from each other what they wait for
    (``benchmarks/busy.py``).
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a signal ends it without a traceback, from the first import on, with 128 + its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without umlauts is no reason to fail
    wait_calmly()
    with EndSignals() as signals:
        try:
            from .commands import run

            run(arguments)
        except BaseException:  # imports make other exceptions of an interrupt
            if signals.number is None:
                raise
            if signals.raised:  # else training has told
                tell(f"pushforward: stopped by {signals.received}; a fit that was begun goes on with --resume")
                sys.stdout.flush()
                os._exit(128 + signals.number)  # an interrupted exec() within an import makes CPython end by SIGINT, whatever sys.exit says
            sys.exit(128 + signals.number)
