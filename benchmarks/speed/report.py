"""What is kept between runs, and the page that shows it."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .cases import CASES, WORKS
from .floor import Machine, floor, flops
from .peer_flowjax import Flowjax
from .peers import LIBRARIES
from .quiet import SHARED

Record = dict[str, Any]


def machine(threads: int) -> str:
    """Processor and number of threads."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {threads} threads"


def versions(jax: Flowjax | None) -> dict[str, str]:
    """Of each package; of ours also the commit."""
    found = {}
    for package in ("torch", *LIBRARIES[:-1]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return found | {"commit": git.stdout.strip()} | (jax.versions if jax else {})


def load(path: Path) -> list[Record]:
    return json.loads(path.read_text()) if path.exists() else []


def keep(path: Path, record: Record) -> None:
    """Put a record in the place of the one before it."""
    others = [r for r in load(path) if (r["case"], r["work"]) != (record["case"], record["work"])]
    order = {name: i for i, name in enumerate(CASES)}
    records = sorted([*others, record], key=lambda r: (order.get(r["case"], len(order)), WORKS.index(r["work"])))
    path.write_text(json.dumps(records, indent=1) + "\n")


def write(source: Path, target: Path) -> None:
    """The page."""
    records = load(source)
    beside = source.parent / "end_to_end.json"
    parts = [HEAD, machines(records), "## Times\n", MEANING, times(records), "## First calls and memory\n", FIRST, firsts(records)]
    parts += ["## The same models\n", SAME, classes(records)]
    if beside.exists():
        parts += ["## Seconds of training to the peer's best validation figure\n", races(json.loads(beside.read_text()))]
    target.write_text("\n".join(parts))


HEAD = """# Speed, beside other libraries

Written by `make bench`; each line is the latest of its case. The same sizes, batch, float32 and Adam (fused) everywhere; libraries take
turns within each round.
"""
MEANING = """Milliseconds: median (quartiles). `ratio` is the best peer's median over our best one: above 1 we are faster; it is
left out where threads waited for a processor for more than 5 % of their time. The floor is
the products that no mask removes (in brackets: all), three for each weight in a step, at the measured rate, and the bytes of units and
weights at the measured bandwidth of memory; what stays in a cache can be faster. A step is of 512 rows, log_prob of 4,096, sample of
1,024; Glow's batch is 64. Sampling is timed eagerly in torch.
"""
FIRST = """Seconds of the first call (with tracing and compilation, nothing cached), and megabytes that a call needs beyond what is held
between calls: resident memory for torch, what the compiled program says for jax.
"""
SAME = """Numbers that are learned, and operations of the products of one log-likelihood per row, relative to the nets with their masks in
full: whoever multiplies less has left masked products out.
"""


def machines(records: list[Record]) -> str:
    """A line for each machine: what ran there and what it was seen to do."""
    lines = []
    for name in dict.fromkeys(r["machine"] for r in records):
        same = [r for r in records if r["machine"] == name]
        found: dict[str, set[str]] = {}
        for r in same:
            for package, number in r["versions"].items():
                found.setdefault(package, set()).add(number)
        days = sorted(r["date"] for r in same)
        rates, widths = ([r["measured"][key] / 1e9 for r in same] for key in ("rate", "bandwidth"))
        packages = ", ".join(f"{k} {' and '.join(sorted(v))}" for k, v in found.items())
        lines.append(
            f"{name}, {days[0]} to {days[-1]}: products {min(rates):.0f} to {max(rates):.0f} GFLOP/s, "
            f"copies {min(widths):.0f} to {max(widths):.0f} GB/s. {packages}.\n"
        )
    return "\n".join(lines)


def columns(records: list[Record]) -> list[tuple[str, str]]:
    seen = {(t["library"], t["mode"]) for r in records for t in r["timings"]}
    return sorted(seen, key=lambda pair: (LIBRARIES.index(pair[0]), pair[1] == "compiled"))


def grid(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def times(records: list[Record]) -> str:
    named = columns(records)
    rows = []
    for r in records:
        found = {(t["library"], t["mode"]): t for t in r["timings"]}
        best = {
            ours: min((t["median"] for t in r["timings"] if not t["error"] and (t["library"] == "pushforward") == ours), default=None)
            for ours in (True, False)
        }
        ratio = f"{best[False] / best[True]:.2f}" if best[True] and best[False] else ""
        ratio = "under load" if r.get("shared", 0.0) > SHARED else ratio
        least = floor(CASES[r["case"]], r["work"], Machine(**r["measured"]))
        over = f"{best[True] / least.seconds:.1f}" if best[True] else ""
        bound = f"{least.products * 1e3:.2f} + {least.bytes * 1e3:.2f} ({least.dense * 1e3:.2f})"
        rows.append([r["case"], r["work"], *(time(found.get(pair)) for pair in named), ratio, bound, over])
    return grid(["case", "work", *(" ".join(pair) for pair in named), "ratio", "products + bytes (dense)", "ours / floor"], rows)


def time(timing: Record | None) -> str:
    if timing is None:
        return ""
    if timing["error"]:
        return "fails"
    return f"{timing['median'] * 1e3:.1f} ({timing['low'] * 1e3:.1f} to {timing['high'] * 1e3:.1f})"


def firsts(records: list[Record]) -> str:
    named = columns(records)
    rows = []
    for r in records:
        found = {(t["library"], t["mode"]): t for t in r["timings"]}
        rows.append([r["case"], r["work"], *(first(found.get(pair)) for pair in named)])
    return grid(["case", "work", *(" ".join(pair) for pair in named)], rows)


def first(timing: Record | None) -> str:
    if timing is None:
        return ""
    if timing["error"]:
        return timing["error"].replace("|", "/")
    return f"{timing['first']:.2f} s" + (f", {timing['peak'] / 1e6:.0f} MB" if timing["peak"] is not None else "")


def classes(records: list[Record]) -> str:
    rows = []
    for name in dict.fromkeys(r["case"] for r in records):
        found = {library: f for r in records if r["case"] == name for library, f in r["facts"].items()}
        ours, dense = found.get("pushforward"), flops(CASES[name], masked=False)
        for library, f in found.items():
            more = f"{f['parameters'] / ours['parameters']:.2f}" if ours else ""
            rows.append([name, library, f"{f['parameters']:,}", more, f"{f['flops']:,.0f}", f"{f['flops'] / dense:.2f}", f["remark"]])
    return grid(["case", "library", "parameters", "to ours", "operations per row", "to dense", "remark"], rows)


def races(found: dict[str, Record]) -> str:
    """Lines of :mod:`speed.end_to_end`."""
    rows = []
    for data, record in found.items():
        for r in record["races"]:
            ours = "not reached" if r["ours"] is None else f"{r['ours']:.1f}"
            both = [f"{r['figure']:.3f}", f"{r['seconds']:.1f} (and {r['first']:.1f} first)", ours, f"{r['our_best']:.3f}"]
            rows.append([f"{data}, {record['date']}", f"{r['library']} {r['mode']}", *both])
    return grid(["data", "peer", "its best", "its seconds", "ours", "our best in that run"], rows)
