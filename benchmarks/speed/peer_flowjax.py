"""flowjax from the outside: orders to a worker in another environment, so that its calls take turns with those of torch."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .cases import SPLINES, Case
from .contender import Facts

PERMUTED, SLOPES = "random permutations between layers", "two slopes more for each spline"


class Flowjax:
    """A worker process that holds one work of one case."""

    library, mode = "flowjax", "jit"

    def __init__(self, python: Path):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "JAX_PLATFORMS": "cpu"}
        command = [str(python), "-m", "speed.flowjax_worker"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.versions = self._answer()

    def facts(self, case: Case) -> Facts:
        found = self._ask(do="facts", case=case.name)
        return Facts(int(found["parameters"]), found["flops"], remark(case))

    def build(self, case: Case, work: str) -> None:
        self._ask(do="build", case=case.name, work=work)

    def seconds(self) -> float:
        return self._ask(do="call")

    def peak(self) -> float | None:
        return self._ask(do="peak")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, **order: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the worker of flowjax ended; its message is above")
        return json.loads(line)


def remark(case: Case) -> str:
    """Where its class differs."""
    return "; ".join([PERMUTED] * (case.dim > 1) + [SLOPES] * (case.kind in SPLINES))
