"""One work of one case, by everybody."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import torch

from . import quiet
from .cases import Case
from .contender import Contender, Facts
from .peer_flowjax import Flowjax
from .peers import BUILDERS, UNCOMPILED
from .rounds import first_calls, rounds
from .torch_works import contender, facts

TRIES = 3  # of rounds, until others have not disturbed them


def compare(
    case: Case, work: str, libraries: Sequence[str], jax: Flowjax | None, *, modes: Sequence[str], seconds: float, patience: float
) -> dict[str, Any]:
    """What is kept of it: timings, facts, and how far others disturbed it. ``patience`` is of minutes, before each try."""

    def say(text: str) -> None:
        print(f"{case.name} {work}: {text}", file=sys.stderr, flush=True)

    torch._dynamo.config.recompile_limit = 64  # the same layers' code runs with many parameters
    torch._logging.set_logs(dynamo=logging.CRITICAL, inductor=logging.CRITICAL)  # peers break graphs, at length
    known: dict[str, Facts] = {}
    everybody: list[Contender] = []
    for library in libraries:
        if library in BUILDERS and (found := facts(BUILDERS[library], case)):
            known[library] = found
            fit = [mode for mode in modes if mode == "eager" or (library, case.kind) not in UNCOMPILED]
            both = (contender(library, BUILDERS[library], case, work, mode == "compiled") for mode in fit)
            everybody += [one for one in both if one]
    if jax:
        known["flowjax"] = jax.facts(case)
        jax.build(case, work)
        everybody.append(jax)
    working, timings = first_calls(everybody, say)
    for _ in range(TRIES if patience else 1):
        quiet.wait(patience)
        waiting = quiet.Waiting()
        rounds(working, timings, seconds)
        shared = waiting.share()
        say(f"the rounds are over; threads waited for a processor {shared:.1%} of their time")
        if shared <= quiet.SHARED:
            break
    for timing in timings:
        say(f"{timing.library} {timing.mode}: {timing.error or f'{timing.median * 1e3:.2f} ms of {timing.count}'}")
    return {
        "case": case.name,
        "work": work,
        "date": date.today().isoformat(),
        "shared": shared,
        "timings": [timing.record() for timing in timings],
        "facts": {library: vars(f) for library, f in known.items()},
    }
