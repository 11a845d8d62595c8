"""What the first density costs and says on machines of several kinds: ``python benchmarks/first_use.py`` (two minutes)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CODE = """
import json, time, torch
from pushforward.models import nsf
flow, x = nsf((3,), width=16), torch.randn(64, 3)
start = time.perf_counter()
with torch.no_grad():
    flow.log_prob(x)
first = time.perf_counter()
from pushforward import kernels
print(json.dumps([first - start, kernels.path()]))
"""


def use(circumstance: str, **environment: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE], env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    seconds, path = json.loads(done.stdout)
    said = "<br>".join(done.stderr.splitlines()) or "nothing"
    said = re.sub(r"/\S*/", "", said)  # folders of this run
    print(f"| {circumstance} | {seconds:.2f} | {path.split(':')[0]} | {said} |", flush=True)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = {"XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder)}
        print("| circumstance | seconds of the first density | it goes by | on stderr |\n|---|---|---|---|")
        use("an empty cache", **ours)
        use("the next process", **ours)
        for library in (folder / "cache" / "pushforward").glob("kernels-*.so"):
            os.truncate(library, 5000)
        use("the cached library is cut short", **ours)
        use("the next process", **ours)
        use("no compiler", CC="none", **ours)
        use("a compiler that always fails", CC="false", **ours)
        use("the next process", CC="false", **ours)
        slow = script(folder / "slow", "sleep 1000 & sleep 1000")
        use("a compiler that hangs", CC=slow, **ours)
        use("the next process", CC=slow, **ours)
        use("CC='cc -O2'", CC="cc -O2", **ours)
        for path in (folder / "cache" / "pushforward").iterdir():
            path.unlink()
        (folder / "cache" / "pushforward").chmod(0o777)
        use("a cache that others may write to", **ours)
        use("the kernels switched off", PUSHFORWARD_KERNELS="0", **ours)


if __name__ == "__main__":
    main()
