"""Rows per second and memory of scoring a folder of Parquet, by processes of this machine and by Ray.

    python benchmarks/bulk.py runs/bulk --files 8
    python benchmarks/bulk.py runs/bulk --files 62 --engines local --workers 2        # 5 GB

Makes files of a million rows of 10 columns (80 MB each) and a MAF fitted to the first of them, where they are not there; then times
``pushforward score``. Memory is that of all its processes together, their own pages (RssAnon), at its peak; what a file's pages take is the
system's to take back.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

import pushforward as pf

ROWS, COLUMNS = 1_000_000, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", type=Path)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--engines", nargs="*", default=["local", "ray"])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    chosen = parser.parse_args()
    rows, run = chosen.place / f"rows-{chosen.files}", chosen.place / "maf"
    make(rows, chosen.files)
    if not (run / "scores.json").exists():
        pf.fit(rows / "000.parquet", "maf", out=run, time_limit=60, overwrite=True, report=False)
    print("| engine | workers | seconds | rows/s | memory of its own, MB |\n|---|---|---|---|---|")
    for engine in chosen.engines:
        for workers in chosen.workers:
            out = chosen.place / "scored"
            shutil.rmtree(out, ignore_errors=True)
            seconds, memory = timed(run, rows, out, engine, workers)
            found = sum(pq.read_metadata(part).num_rows for part in out.glob("*.parquet"))
            assert found == chosen.files * ROWS, found
            print(f"| {engine} | {workers} | {seconds:.0f} | {found / seconds:,.0f} | {memory / 1e6:,.0f} |", flush=True)


def make(folder: Path, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        place = folder / f"{number:03}.parquet"
        if place.exists():
            continue
        x = np.random.default_rng(number).standard_normal((ROWS, COLUMNS))
        x[:, 1:] += 0.7 * x[:, :-1]
        x[:, 0] = np.abs(x[:, 0])
        pq.write_table(pa.table({f"x{i}": x[:, i] for i in range(COLUMNS)}), place, row_group_size=250_000, compression="none")


def timed(run: Path, rows: Path, out: Path, engine: str, workers: int) -> tuple[float, float]:
    """Seconds, and bytes at the peak."""
    command = [sys.executable, "-m", "pushforward", "score", run, rows, "-o", out, "--engine", engine, "--workers", workers]
    began, peak = time.perf_counter(), 0.0
    process = psutil.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(map(own, [process, *children(process)])))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return time.perf_counter() - began, peak


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def own(process: psutil.Process) -> float:
    """Bytes of a process that no file stands behind."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
