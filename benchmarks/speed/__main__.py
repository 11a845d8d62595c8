"""Times of the same flows in several libraries, taken in turn; the latest of each case are kept in a file and shown as a table.

PYTHONPATH=benchmarks python -m speed                                  # the short table
PYTHONPATH=benchmarks python -m speed --only 'nsf-16-5*' --works step  # a part of it, put beside the rest
PYTHONPATH=benchmarks python -m speed --only '*'                       # the whole grid (hours)
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from .cases import CASES, MODES, WORKS

HERE = Path(__file__).parent.parent
ROOT = HERE.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="names of cases, with wildcards; default the short table")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--libraries", nargs="+", metavar="NAME", help="default all")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="of the libraries of torch")
    parser.add_argument("--seconds", type=float, default=8.0, help="of rounds for each work of each case")
    parser.add_argument("--threads", type=int, default=2, help="cores, for everybody")
    parser.add_argument("--patience", type=float, default=10.0, help="minutes to wait for a quiet machine before the rounds of a work")
    parser.add_argument("--jax", type=Path, default=ROOT / ".venv-jax/bin/python", help="the python that has flowjax")
    parser.add_argument("--record", type=Path, default=HERE / "results/speed.json")
    parser.add_argument("--table", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # the number of threads that jax takes
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # every compilation is a first one
        run(options)


def run(options: argparse.Namespace) -> None:
    import torch

    from . import report
    from .compare import compare
    from .floor import measure
    from .peer_flowjax import Flowjax
    from .peers import LIBRARIES

    torch.set_num_threads(options.threads)
    libraries = options.libraries or LIBRARIES
    chosen = [c for c in CASES.values() if (any(fnmatch(c.name, p) for p in options.only) if options.only else c.headline)]
    if not chosen:
        raise SystemExit(f"no case is named {' or '.join(options.only)}; there are: {', '.join(CASES)}")
    for case in chosen:
        jax = Flowjax(options.jax) if "flowjax" in libraries and options.jax.exists() and case.kind != "glow" else None
        for work in case.works:
            if work in options.works:
                found = compare(case, work, libraries, jax, modes=options.modes, seconds=options.seconds, patience=options.patience)
                found |= {"machine": report.machine(options.threads), "measured": vars(measure()), "versions": report.versions(jax)}
                report.keep(options.record, found)
                report.write(options.record, options.table)
                torch._dynamo.reset()
                gc.collect()
        if jax:
            jax.close()
    print(f"{options.table} is written", file=sys.stderr)


if __name__ == "__main__":
    main()
