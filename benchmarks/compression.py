"""The test rows of a run as a compressed file, beside other formats, and back in another process; rows of a Markdown table.

    python benchmarks/compression.py RUN [RUN...] [--rows N]

Cost: as drawing that many samples, twice. The machine's other work shows in the speed, not in the sizes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import pushforward as pf
from pushforward.verbs.runs import data_of

READ = """
import sys
import numpy as np, pyarrow as pa
import pushforward as pf
run, file, out = sys.argv[1:]
back = pf.decompress(run, file)
if isinstance(back.data, pa.Table):
    with pa.ipc.new_file(out, back.data.schema) as sink:
        sink.write_table(back.data)
else:
    with open(out, "wb") as sink:
        np.save(sink, back.data.x)
print(back.lost, back.seconds)
"""


def test_rows(run: pf.Run, rows: int) -> pa.Table | np.ndarray:
    """The first of them, as a table or an array of images."""
    some = data_of(run).test.pick(slice(rows))
    return some.to_table(run.schema) if some.x.dim() == 2 else some.x.numpy()


def read(run: Path, file: Path, threads: int) -> tuple[pa.Table | np.ndarray, float]:
    """The data, decoded by a process of its own, and the seconds that it took."""
    out = file.with_suffix(".out")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, run, file, out],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    lost, seconds = done.stdout.split()
    assert lost == "0", f"{run}: {lost} rows lost"
    try:
        with pa.ipc.open_file(out) as source:
            return source.read_all(), float(seconds)
    except pa.ArrowInvalid:
        return np.load(out), float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--data", type=Path, help="a .npy of images, in place of the test rows")
    parser.add_argument("--threads", type=int, default=3, help="of the process that decodes")
    arguments = parser.parse_args()
    columns = [
        "run",
        "rows",
        "bytes",
        "bits per dim",
        "of the model",
        "gap of the streams",
        "initial bits in it",
        "header and rest",
        "beside",
    ]
    print(f"| {' | '.join(columns)} | MB/s coding, decoding |")
    print("|---" * (len(columns) + 1) + "|")
    for path in arguments.runs:
        run = pf.load(path)
        data = test_rows(run, arguments.rows) if arguments.data is None else np.load(arguments.data)[: arguments.rows]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "x.pf"
            found = pf.compress(run, data, file, check=False)
            back, seconds = read(path, file, arguments.threads)
        same = back.equals(data) if isinstance(data, pa.Table) else back.dtype == data.dtype and np.array_equal(back, data)
        assert same, f"{path}: not what went in"
        rivals = ", ".join(f"{rival.name} {rival.size:,}" for rival in found.rivals)
        speed = f"{found.data / 1e6 / found.coding:.3f}, {found.data / 1e6 / seconds:.3f}"
        bits = f"{found.bits:.3f} | {found.model_bits:.3f} | {found.gap:+.4f} | {found.initial:.4f}"
        print(f"| {path.name} | {found.rows:,} | {found.size:,} | {bits}", end="")
        print(f" | {100 * found.beside:.1f} % | {rivals} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
