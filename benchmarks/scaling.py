"""How time and memory per row grow with batch, columns, width, layers and threads, for training, density and sampling.

python benchmarks/scaling.py                   # all (ten minutes), into benchmarks/results/scaling.json, .md and .png
python benchmarks/scaling.py --only nsf        # this model again, the others as they were; --only with nothing after it: write and draw
python benchmarks/scaling.py --what memory     # or time: this again, the other as it was

One thing varies at a time, from the middle: batch 512, 16 columns, width 128, 4 layers, one thread. A training step is forward, backward
and fused AdamW. A time is the least of three medians, each of a round through all points. Memory is the largest resident memory beyond what
was there after a batch of 8 rows, in a process of its own, at 16 times the batch.

An exponent is the slope of a line through the upper half of the range on log-log axes. The expected one, in brackets, is for time that of
the multiplications by weights that are not masked, fitted to the same points (scalar maps are not counted); for memory that of the numbers
that a row keeps. Small work costs more per row than its arithmetic (calls, weights fetched for few rows), so slopes begin flatter than
expected.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import itertools
import json
import math
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pushforward import MADE, Flow, LULinear, models
from pushforward.objectives import MaximumLikelihood

MIDDLE = {"batch": 512, "D": 16, "width": 128, "layers": 4, "threads": 1}
RANGES = {
    "batch": (64, 128, 256, 512, 1024, 2048, 4096),
    "D": (4, 8, 16, 32, 64, 128),
    "width": (32, 64, 128, 256, 512),
    "layers": (2, 4, 8, 16),
    "threads": (1, 2),
}
NAMES = {"maf": "maf", "nsf": "nsf, autoregressive", "real_nvp": "real_nvp"}
TASKS = {"training": "training step", "density": "density", "sampling": "sampling"}
MEMORY_ROWS = 16  # times the batch: so many rows that the system's own noise is small beside them
RESULTS = Path(__file__).parent / "results"
ROUNDS = 3
Setting = dict[str, int]


def model(name: str, at: Setting) -> Flow:
    """A recipe, perturbed so that no weight is zero."""
    torch.manual_seed(0)
    flow = getattr(models, name)((at["D"],), steps=at["layers"], width=at["width"])
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return flow


def tasks(flow: Flow, rows: int) -> dict[str, Callable[[], object]]:
    x, objective = torch.randn(rows, *flow.shape), MaximumLikelihood(flow)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=1e-5, fused=True)

    def training() -> None:
        optimizer.zero_grad()
        objective(x).backward()
        optimizer.step()

    return {"training": training, "density": torch.no_grad()(lambda: flow.log_prob(x)), "sampling": lambda: flow.sample((rows,))}


def seconds(work: Callable[[], object], budget: float = 0.1, least: int = 3, most: int = 101) -> float:
    """The median of as many calls as the budget allows."""
    times: list[float] = []
    work()
    work()
    while len(times) < least or (sum(times) < budget and len(times) < most):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(name: str, at: Setting, task: str, found: multiprocessing.Queue) -> None:
    """Bytes for each row of a task, in this fresh process."""
    torch.set_num_threads(1)
    flow, rows = model(name, at), MEMORY_ROWS * at["batch"]
    small, large = tasks(flow, 8)[task], tasks(flow, rows)[task]
    for _ in range(3):
        small()  # gradients, moments and code are there before the peak is taken
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, and does not hide what the rows need
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again at what is resident now
    before = resident()
    large()
    found.put((resident() - before) / rows)


def resident() -> int:
    """The largest resident memory of this process since its peak was reset, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def memory(name: str, at: Setting) -> dict[str, float]:
    """The same in forks of this process, which has used no threads yet."""
    importlib.import_module("torch._dynamo")  # which an optimizer imports: once, not in each fork
    forks, found = multiprocessing.get_context("fork"), {}
    for task in TASKS:
        queue = forks.Queue()
        child = forks.Process(target=peak, args=(name, at, task, queue))
        child.start()
        found[task] = queue.get()
        child.join()
    return found


def multiplications(name: str, at: Setting) -> float:
    """By weights that are not masked, for one row."""
    count = 0
    for module in model(name, at).modules():
        if isinstance(module, MADE):
            count += int(module.mask_in.sum() + len(module.hidden) * module.mask_hidden.sum() + module.mask_out.sum())
        elif isinstance(module, LULinear):
            count += at["D"] ** 2
        elif isinstance(module, nn.Linear) and name == "real_nvp":
            count += module.weight.numel()
    return count / at["threads"]


def kept(name: str, at: Setting, task: str) -> float:
    """Numbers that a row keeps: of a masked layer its columns, since its net is computed again; of a coupling also its net's units."""
    layers = at["layers"] if task == "training" else 1  # without gradient one layer is held at a time
    return layers * (6 * at["D"] + (4 * at["width"] if name == "real_nvp" else 0))  # both before and behind an activation


def sweep(name: str, what: str, points: dict[str, list[dict[str, float]]]) -> None:
    """Every value of every variable, time or memory per row by task, into the points."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for turn, (variable, values) in itertools.product(range(ROUNDS if what == "time" else 1), RANGES.items()):
        for value in values:
            at, known = MIDDLE | {variable: value}, found.setdefault((variable, value), {})
            if what == "time":
                torch.set_num_threads(at["threads"])
                for task, work in tasks(model(name, at), at["batch"]).items():
                    known[task] = min(known.get(task, math.inf), seconds(work) / at["batch"])
            elif variable != "threads":
                known |= {f"{task} memory": size for task, size in memory(name, at).items()}
            print(name, turn, variable, value, known, file=sys.stderr, flush=True)
    for variable, values in RANGES.items():
        rows = points.setdefault(variable, [{"at": value} for value in values])
        for row, value in zip(rows, values):
            row |= found[variable, value]


def exponent(values: list[float], found: list[float]) -> float:
    """The slope on log-log axes over the upper half of the range."""
    x, y = np.log(values), np.log(np.maximum(found, 1e-12))
    upper = x >= (x[0] + x[-1]) / 2 - 1e-9 if len(x) > 2 else x > -np.inf
    return float(np.polyfit(x[upper], y[upper], 1)[0])


def expected(name: str, variable: str, values: list[float], task: str, of_memory: bool) -> float:
    if variable == "batch":
        return 0.0
    every = [MIDDLE | {variable: int(value)} for value in values]
    return exponent(values, [kept(name, at, task) if of_memory else multiplications(name, at) for at in every])


def column(points: list[dict[str, float]], key: str) -> list[float]:
    return [point[key] for point in points]


def tables(results: dict[str, dict[str, list[dict[str, float]]]], machine: str) -> str:
    """Markdown: the exponents, sampling beside density, and all that was measured."""
    middle = ", ".join(f"{variable} {value}" for variable, value in MIDDLE.items())
    lines = ["# Time and memory as work grows", "", f"`python benchmarks/scaling.py`, {machine}, seed 0.", ""]
    lines += "\n\n".join((__doc__ or "").split("\n\n")[2:]).splitlines() + [""]
    lines += ["![Time and memory per row](scaling.png)", "", "## Exponents, measured and (expected)", ""]
    lines += ["| model | per row | " + " | ".join(RANGES) + " |", "|---|---|" + "---|" * len(RANGES)]
    for name, task, of_memory in itertools.product(results, TASKS, (False, True)):
        cells = []
        for variable, values in RANGES.items():
            if of_memory and variable == "threads":
                cells.append("")
                continue
            key = f"{task} memory" if of_memory else task
            found = exponent(list(values), column(results[name][variable], key))
            slope = expected(name, variable, list(values), task, of_memory)
            cells.append(f"{round(found, 2) + 0.0:.2f} ({round(slope, 2) + 0.0:.2f})".replace("-", "−"))
        lines.append(f"| {NAMES[name]} | {TASKS[task]}, {'memory' if of_memory else 'time'} | " + " | ".join(cells) + " |")
    lines += ["", "## Sampling beside one density pass", "", "Time of sampling over time of density, by columns:", ""]
    lines += ["| model | " + " | ".join(f"D = {d}" for d in RANGES["D"]) + " |", "|---|" + "---|" * len(RANGES["D"])]
    for name, points in results.items():
        lines.append(f"| {NAMES[name]} | " + " | ".join(f"{p['sampling'] / p['density']:.2f}" for p in points["D"]) + " |")
    lines += ["", "## All points", "", f"Microseconds and kilobytes per row; what does not vary: {middle}.", ""]
    lines += [
        "| model | vary | " + " | ".join(f"{task}, {unit}" for unit in ("µs", "kB") for task in TASKS) + " |",
        "|---|---|" + "---|" * 6,
    ]
    for name, (variable, values) in itertools.product(results, RANGES.items()):
        for value, point in zip(values, results[name][variable]):
            times = [f"{1e6 * point[task]:.2f}" for task in TASKS]
            sizes = [f"{point[f'{task} memory'] / 1e3:.2f}" if f"{task} memory" in point else "" for task in TASKS]
            lines.append(f"| {NAMES[name]} | {variable} = {value:,} | " + " | ".join(times + sizes) + " |")
    return "\n".join(lines) + "\n"


def draw(results: dict[str, dict[str, list[dict[str, float]]]], path: Path) -> None:
    """Small multiples on log-log axes: a row for each quantity, a column for each variable; dotted lines have the expected slope."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    from pushforward.plots.style import DATA, INK, MODEL, SOFT, THIRD, figure, save, style

    rows = [(task, False, title) for task, title in TASKS.items()] + [("training", True, "training step")]
    columns = [variable for variable in RANGES if variable != "threads"]
    with style():
        picture = figure(11, 10.5)
        grid = picture.subplots(len(rows), len(columns), sharey="row", sharex="col")
        for (i, (task, of_memory, title)), (j, variable) in itertools.product(enumerate(rows), enumerate(columns)):
            ax, values = grid[i, j], list(map(float, RANGES[variable]))
            for name, ink in zip(results, (DATA, MODEL, THIRD)):
                found = [(1e-3 if of_memory else 1e6) * v for v in column(results[name][variable], f"{task} memory" if of_memory else task)]
                slope = expected(name, variable, values, task, of_memory)
                upper = [v for v in values if v * v >= values[0] * values[-1] * 0.999]
                ax.loglog(values, found, "o-", color=ink, markersize=3.5, label=NAMES[name])
                ax.loglog(upper, [found[-1] * (v / values[-1]) ** slope for v in upper], ":", color=ink, linewidth=1.4)
            ax.xaxis.set_major_locator(FixedLocator(values[:: 2 if len(values) > 6 else 1]))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            ax.yaxis.set_minor_locator(NullLocator())
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            ax.grid(axis="y")
            if j == 0:
                ax.set_ylabel(f"{'kB' if of_memory else 'µs'} per row")
                ax.set_title(f"{'Memory' if of_memory else 'Time'}, {title}")
            if i == len(rows) - 1:
                ax.set_xlabel({"D": "columns D", "width": "hidden units", "layers": "layers", "batch": "rows in a batch"}[variable])
        lines, labels = grid[0, 0].get_legend_handles_labels()
        dotted = grid[0, 0].plot([], [], ":", color=SOFT)[0]
        picture.legend([*lines, dotted], [*labels, "expected slope"], loc="outside upper right", ncols=4, labelcolor=INK)
        save(picture, path)


def headline() -> str:
    """1,024 samples of the recipe maf as it stands in the README."""
    torch.set_num_threads(1)
    lines = ["", "## 1,024 samples of `maf`", "", "| columns | width | sampling, ms | one density pass, ms |", "|---|---|---|---|"]
    for dim, width in ((16, 128), (64, 256)):
        work = tasks(model("maf", {"D": dim, "layers": 5, "width": width}), 1024)
        lines.append(f"| {dim} | {width} | {1e3 * seconds(work['sampling']):.1f} | {1e3 * seconds(work['density']):.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--what", nargs="+", choices=["memory", "time"], default=["memory", "time"])
    given, path = parser.parse_args(), RESULTS / "scaling.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    results = stored.get("results", {})
    for what, name in itertools.product(sorted(given.what), given.only):  # memory first: before any thread is there
        sweep(name, what, results.setdefault(name, {}))
    if given.only:
        stored |= {
            "machine": f"{platform.machine()}, torch {torch.__version__}",
            "results": {name: results[name] for name in NAMES if name in results},
        }
    if given.only and "time" in given.what and "maf" in given.only:
        stored["headline"] = headline()
    path.write_text(json.dumps(stored, indent=1) + "\n")
    if all("training" in results.get(name, {}).get("D", [{}])[-1] and "training memory" in results[name]["D"][-1] for name in NAMES):
        (RESULTS / "scaling.md").write_text(tables(stored["results"], stored["machine"]) + stored["headline"])
        draw(stored["results"], RESULTS / "scaling.png")


if __name__ == "__main__":
    main()
