"""Our own speed over time: ``make bench-history`` stores each run under benchmarks/history and compares it with the one before.

The works of the short table, in eager mode, on one thread.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from speed.cases import CASES, Case
from speed.ours import build
from speed.torch_works import contender

HEADLINE = [(case, work) for case in CASES.values() if case.headline for work in case.works]


@pytest.mark.parametrize(("case", "work"), HEADLINE, ids=[f"{case.name}-{work}" for case, work in HEADLINE])
def test_speed(benchmark: BenchmarkFixture, case: Case, work: str) -> None:
    torch.set_num_threads(1)
    timed = contender("pushforward", build, case, work, compiled=False)
    assert timed is not None
    benchmark.pedantic(timed.call, rounds=5 if case.kind == "glow" else 20, warmup_rounds=2)
