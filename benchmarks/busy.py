"""Training steps beside other busy processes, by how long torch's threads spin before they sleep (GOMP_SPINCOUNT).

    python benchmarks/busy.py --beside 0 2 4 10

For each number of busy processes beside, and each setting: the median time of a step of an NSF of couplings (16 columns, 512 rows), each in
a process of its own, in turn. Printed beside: the fair share, by which a step would take longer if it got its part of the processors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

STEP = """
import statistics, time, torch
from pushforward.models import nsf
flow, x = nsf((16,), steps=5, width=128, depth=2, mechanism="coupling"), torch.randn(512, 16)
flow.initialize(x)
optimizer = torch.optim.AdamW(flow.parameters(), fused=True)
times = []
for _ in range(40):
    began = time.perf_counter()
    (-flow.log_prob(x).mean()).backward()
    optimizer.step()
    optimizer.zero_grad()
    times.append(time.perf_counter() - began)
print(1e3 * statistics.median(times[10:]))
"""
BUSY = "while True: pass"
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "GOMP_SPINCOUNT=2500": {"GOMP_SPINCOUNT": "2500"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", nargs="*", type=int, default=[0, 2, 4, 10])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"| busy processes beside | fair share | {' | '.join(SETTINGS)} |\n|---|---|{'---|' * len(SETTINGS)}")
    for beside in chosen.beside:
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(beside)]
        try:
            rounds = [[step(setting) for setting in SETTINGS.values()] for _ in range(chosen.rounds)]
        finally:
            for process in busy:
                process.kill()
                process.wait()
        times = " | ".join(f"{statistics.median(times):.1f}" for times in zip(*rounds))
        print(f"| {beside} | {max(1.0, (beside + cores) / cores):.1f} | {times} |", flush=True)


def step(setting: dict[str, str]) -> float:
    """Milliseconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))} | setting
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", STEP], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
