"""Training from a memory-mapped file: memory that doesn't grow with the rows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Memory of its own, not the file's pages, which the system takes back when it needs them.
TRAINING = """
import json, sys, threading, numpy as np, torch
from pushforward import models
from pushforward.data import Rows
from pushforward.training import fit

def own():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

def train(path, steps):
    x = torch.from_numpy(np.load(path, mmap_mode="c"))
    return fit(models.maf((64,), width=32), Rows(x[:-2000]), Rows(x[-2000:]), steps=steps, every=100, compile="no", progress=False)

small, path, steps = sys.argv[1:]
train(small, 20)  # code and what the first steps leave behind
before, peak, done = own(), [0], threading.Event()

def look():
    while not done.wait(0.005):
        peak[0] = max(peak[0], own())

thread = threading.Thread(target=look)
thread.start()
history = train(path, int(steps))
done.set()
thread.join()
print(json.dumps({"grown": peak[0] - before, "steps": history.steps, "loss": history.best}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_array_stays_on_the_disk(tmp_path):
    """A tenth of the rows and all of them, one pass each: the second takes less than a tenth of the file more."""
    import numpy as np

    rows, rng = 500_000, np.random.default_rng(0)
    for name, count in (("small", 4_000), ("tenth", rows // 10), ("all", rows)):
        file = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.float32, (count, 64))
        for start in range(0, count, 50_000):
            file[start : start + 50_000] = rng.standard_normal(file[start : start + 50_000].shape, np.float32)
        file.flush()

    def training(name: str, count: int) -> dict[str, float]:
        steps = (count - 2000) // 512
        command = [
            sys.executable,
            "-W",
            "error",
            "-c",
            TRAINING,
            *(str(tmp_path / f"{which}.npy") for which in ("small", name)),
            str(steps),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    tenth, whole = training("tenth", rows // 10), training("all", rows)
    assert whole["steps"] > 9 * tenth["steps"]
    assert whole["grown"] - tenth["grown"] < rows * 64 * 4 / 10, (tenth, whole)
