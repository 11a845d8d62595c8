"""Many processes make of a run what one makes: replicated or shared out, stopped and gone on with by another number, one of them killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ONE = {"case": "vectors", "count": 1}
TWO = {"case": "vectors", "count": 2}


def carried_out(folder: Path, plan: list[dict]) -> tuple[list[list[int]], list[list[dict]], str]:
    """Of each fit, how its processes ended, and what they found; and all that was said."""
    from test_processes import environment

    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("many.py")), str(folder), json.dumps(plan)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=600)
    assert done.returncode == 0, done.stderr
    ends = json.loads((folder / "ends").read_text())
    places = [[folder / f"out-{number}-{rank}" for rank in range(task["count"])] for number, task in enumerate(plan)]
    found = [[json.loads(place.read_text()) for place in each if place.exists()] for each in places]
    return ends, found, done.stderr


def assert_same(found: list[dict], expected: list[dict], relative: float) -> None:
    """Alike on all processes, to the bit, and the losses those of other processes."""
    assert len({each["end"] for each in found}) == 1 and all(each["steps"] == 24 for each in found)
    assert len(expected[0]["losses"]) == 7
    for ours, theirs in zip(found[0]["losses"], expected[0]["losses"], strict=True):
        assert ours == [None if value is None else pytest.approx(value, rel=relative) for value in theirs]


@pytest.mark.parametrize("case", ["vectors", "images", "vae"])
def test_strategies_draw_the_curve_of_one_process(tmp_path, case, monkeypatch):
    """Each of two processes takes half of the batch, with all weights or with half of them; the losses are those of one, but for rounding.

    In float64: Adam makes whole steps of gradients that are zero up to rounding, in float32 1e-7, other ones in each way of adding.
    """
    monkeypatch.setenv("PUSHFORWARD_KERNELS", "0")  # which add in another order where layers are not shared out, and are one run
    plan = [{"case": case, "run": str(number), "count": count} for number, count in enumerate((1, 2, 2))]
    plan[2]["strategy"] = "fsdp"
    ends, (alone, ddp, fsdp), said = carried_out(tmp_path, plan)
    assert ends == [[0], [0, 0], [0, 0]], said
    assert [each["rows"] for each in (*alone, *ddp, *fsdp)] == [32, 16, 16, 16, 16]
    assert_same(ddp, alone, 1e-9)
    assert_same(fsdp, ddp, 1e-12)
    assert alone[0]["losses"][-1][1] < alone[0]["losses"][0][1] - 0.2, "it should have learned something"


@pytest.mark.parametrize("strategies", [("ddp", "ddp"), ("fsdp", "ddp"), ("ddp", "fsdp")], ids="-".join)
def test_a_run_goes_on_with_other_processes(tmp_path, strategies):
    """Two, then one, then two again: the rows of a step are a function of the seed, and the checkpoint is that of a whole model."""
    first, last = strategies
    plan = [
        ONE | {"run": "alone"},
        TWO | {"run": "parts", "strategy": first, "stop": 9},
        ONE | {"run": "parts", "strategy": first, "stop": 8, "resume": True},
        TWO | {"run": "parts", "strategy": last, "resume": True},
    ]
    ends, (alone, two, one, again), said = carried_out(tmp_path, plan)
    assert ends == [[0], [0, 0], [0], [0, 0]], said
    assert [two[0]["steps"], two[1]["steps"], one[0]["steps"]] == [9, 9, 17]
    assert [two[0]["rows"], one[0]["rows"], again[0]["rows"]] == [16, 32, 16]
    assert "stopped by Ctrl-C at step 9" in said and "going on from step 17" in said
    assert_same(again, alone, 1e-9)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_process_is_killed(tmp_path, strategy):
    """The others stop with a word, at a checkpoint of this step where each has all weights; the run ends as if nothing had happened."""
    task = TWO | {"strategy": strategy}
    plan = [task | {"run": "whole"}, task | {"run": "parts", "kill": 11}, task | {"run": "parts", "resume": True}]
    ends, (whole, _, again), said = carried_out(tmp_path, plan)
    assert ends == [[0, 0], [3, -9], [0, 0]], said
    assert said.count("process 0: fit: another of the 2 processes has ended, and this one with it; go on from the last checkpoint") == 1
    assert "Traceback" not in said
    assert f"going on from step {10 if strategy == 'ddp' else 0}" in said
    assert again == whole
