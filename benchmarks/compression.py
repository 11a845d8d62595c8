"""The test rows of a run as a compressed file, beside other formats, and back; rows of a Markdown table.

    python benchmarks/compression.py RUN [RUN...] [--rows N]

Cost: as drawing that many samples, twice. The machine's other work shows in the speed, not in the sizes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import pushforward as pf
from pushforward.verbs.runs import data_of


def test_rows(run: pf.Run, rows: int) -> pa.Table | np.ndarray:
    """The first of them, as a table or an array of images."""
    some = data_of(run).test.pick(slice(rows))
    return some.to_table(run.schema) if some.x.dim() == 2 else some.x.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
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
        data = test_rows(run, arguments.rows)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "x.pf"
            found, back = pf.compress(run, data, file), pf.decompress(run, file)
        same = back.data.equals(data) if isinstance(data, pa.Table) else np.array_equal(back.data.x, data)
        assert same and not back.lost, f"{path}: not what went in"
        rivals = ", ".join(f"{rival.name} {rival.size:,}" for rival in found.rivals)
        speed = f"{found.data / 1e6 / found.coding:.3f}, {found.data / 1e6 / back.seconds:.3f}"
        bits = f"{found.bits:.3f} | {found.model_bits:.3f} | {found.gap:+.4f} | {found.initial:.4f}"
        print(f"| {path.name} | {found.rows:,} | {found.size:,} | {bits}", end="")
        print(f" | {100 * found.beside:.1f} % | {rivals} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
