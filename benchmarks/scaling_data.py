"""What ten times as many rows cost, end to end and stage by stage: reading, one pass of training, judging, baselines.

python benchmarks/scaling_data.py            # 100,000 and 1,000,000 rows of 8 columns, from Parquet; about two minutes

Seconds are the process's own (CPU time on one thread), each size in a process of its own; memory is the largest resident so far,
beyond the libraries'. A small maf, 3 layers of width 64, batch 512, one pass over the training rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

from pushforward.baselines import baselines
from pushforward.data import load
from pushforward.evaluation import evaluate
from pushforward.models.build import build
from pushforward.training import fit

SIZES = (100_000, 1_000_000)


def write(path: Path, rows: int) -> None:
    """A made table: each column bends the one before it."""
    x = np.random.default_rng(0).standard_normal((rows, 8))
    x[:, 1:] += np.sin(2 * x[:, :-1])
    pyarrow.parquet.write_table(pa.table({f"c{i}": x[:, i] for i in range(8)}), path)


def measure(path: str) -> dict[str, list[float]]:
    """Seconds and megabytes of each stage, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start, seconds, found = peak(), time.process_time(), {}

    def done(stage: str) -> None:
        nonlocal seconds
        found[stage] = [time.process_time() - seconds, peak() - start]
        seconds = time.process_time()

    data = load(path)
    done("reading")
    flow = build({"model": {"name": "maf", "steps": 3, "width": 64}}, data.schema)
    fit(flow, data.train, data.valid, steps=len(data.train) // 512, compile="no", progress=False)
    done("training")
    evaluate(flow, data.test, schema=data.schema)
    done("judging")
    baselines(data, data.schema.layers())
    done("baselines")
    return found


def peak() -> float:
    """The largest resident memory so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    if path := parser.parse_args().one:
        print(json.dumps(measure(path)))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in SIZES:
            file = Path(folder) / f"{rows}.parquet"
            write(file, rows)
            command = [sys.executable, "-W", "ignore", __file__, "--one", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            found.append(json.loads(done.stdout))
    few, many = found
    few["all"], many["all"] = ([sum(s for s, _ in each.values()), max(m for _, m in each.values())] for each in found)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, seed 0\n")
    print("| | " + " | ".join(f"{rows:,} rows, s | peak, MB" for rows in SIZES) + " | times as long |\n|---|---|---|---|---|---|")
    for stage in few:
        cells = [f"{each[stage][0]:.2f} | {each[stage][1]:.0f}" for each in found]
        print(f"| {stage} | {' | '.join(cells)} | {many[stage][0] / few[stage][0]:.1f} |")


if __name__ == "__main__":
    main()
