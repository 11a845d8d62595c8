"""Commands that go on from a fitted run: what fit and report.html print, to be pasted into a shell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data.context import assignments
from .data.request import Request
from .data.tables import IN_MEMORY
from .questions import questions
from .shell import command, joined
from .subjects import subject_of

if TYPE_CHECKING:
    from .training.run import Run

MIXTURE = re.compile(r"Gaussian mixture, (\d+) component")  # how the baseline calls itself


def usage(run: Run, data: str | None = None) -> list[str]:
    """How to sample, score and check a run; ``data`` is what the user called them, by default what the run remembers."""
    path, example, table = run.path, subject_of(run).example, _table(run, data)
    again = [table] if Request.from_table(run.config["data"]).in_memory else []
    return [
        command("sample", path, "-n", example.count, *given(run), "-o", example.samples),
        command("score", path, table, "-o", "scored.parquet"),
        command("evaluate", path, *again),
        command("doctor", path, *again),
    ]


def questions_of(run: Run, data: str | None = None) -> list[str]:
    """What can be asked about the columns of a run; empty if it has one at most, or its density answers no such questions."""
    columns, path, table = subject_of(run).columns, run.path, _table(run, data)
    try:
        questions(run.flow)
    except ValueError:
        return []
    if len(columns) < 2:
        return []
    known = next((column for column in columns[:-1] if not column.kind.support().missing), columns[0])
    return [
        command("sample", path, "--given", *assignments([known]), *given(run), "-n", 1000, "-o", "given.csv"),
        command("impute", path, table, "-o", "filled.csv"),
        command("predict", path, table, "--column", columns[-1].name, "-o", "predicted.csv"),
        command("evaluate", path, "--by", "column"),
    ]


def given(run: Run) -> list[str]:
    """What a conditional run needs to be sampled, as an example in the spelling of its data."""
    return [word for pair in assignments(run.schema.context) for word in ("--context", pair)]


def _table(run: Run, data: str | None) -> Path | str:
    """The data as a command may name them, or what stands for them where they are gone."""
    source = Request.from_table(run.config["data"]).source if data is None else data
    here = isinstance(source, str) and source != IN_MEMORY and (Path(source).exists() or "*" in source)
    return Path(str(source)) if here else subject_of(run).example.source


def remedies(run: Run, data: str, scores: list[dict[str, Any]]) -> list[str]:
    """What to do if a baseline is better than the run: train longer, or use the mixture if it is that one. Empty if none is."""
    flow, *others = scores
    best = max(others, key=lambda score: _nats(score), default=None)
    if best is None or _nats(best) <= _nats(flow):
        return []
    training = run.config["train"]
    limit = training.get("time_limit")
    steps = training.get("steps") or max((record["step"] for record in run.metrics()), default=1_000)
    more = ["--time-limit", f"{max(1, round(2 * limit))}s"] if limit else [f"train.steps={2 * int(steps)}"]
    lines = [command("fit", Path(data), "--resume", "-o", run.path, *more)]
    mixture = MIXTURE.match(best["name"])
    if mixture:
        place = run.path.with_name(f"{run.path.resolve().name}-mixture")
        model = ("--model", "gaussian_mixture", f"model.components={mixture[1]}")
        lines.append(command("fit", Path(data), *model, "-o", place, *_reading(Request.from_table(run.config["data"]))))
    return lines


def _nats(score: dict[str, Any]) -> float:
    return float("-inf") if score["nats"] is None else score["nats"]


def _reading(request: Request) -> list[str]:
    """The options of fit that a table was read with."""
    words: list[str] = []
    for name, value in request.said().items():
        if name == "kinds":
            words += [word for column, kind in value.items() for word in ("--kind", f"{column}={kind}")]
        elif name == "reading":
            for option, said in value.items():
                words += [
                    word for one in (said if isinstance(said, list) else [said]) for word in (f"--{option.replace('_', '-')}", str(one))
                ]
        else:
            words += [f"--{name}", joined(value) if isinstance(value, list) else str(value)]
    return words
