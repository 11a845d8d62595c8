"""What a fit would cost, before it is started: ``fit --dry-run``."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from .. import options as signature
from ..data import Reading, Schema, WholeSchema
from ..data.request import Request
from ..data.splits import RANDOM
from ..models import MODELS
from ..models.build import build
from ..subjects import subject_for, subject_of
from ..training import default_steps
from ..training import fit as train
from ..training.budget import Budget, budget
from .choosing import chosen_model, model_name

# Published peaks of dense matrix products, in 1e12 operations per second: bfloat16, and float32 without TF32.
PEAKS = {"A100": (312.0, 19.5), "H100": (989.0, 67.0)}  # NVIDIA's data sheets of the SXM modules
THIS_MACHINE = "this machine"
MEASURE_SECONDS = 0.5  # seconds
COUNTED_ROWS = 8  # of the smaller batch that is counted


@dataclass(frozen=True)
class Forecast:
    """What :func:`plan` found.

    Attributes:
        data, shape, rows: name, shape of a row, rows to train on.
        model: its name; ``options`` and ``train`` are all its settings.
        budget: of a step, per row.
        steps, epochs: of training, and passes over the data.
        batch: rows of a step, over all devices.
        activations: bytes of a step's tensors at their peak, per device, by memory and number of devices.
        rates: operations per second that a device is assumed to do, by kind: its peak (measured for this machine) times
            ``utilization``.
        hours: of training, by kind and number of devices; None where a device would have no row.
        notes: what these figures leave out.
    """

    data: str
    shape: tuple[int, ...]
    rows: int
    model: str
    options: dict[str, Any]
    train: dict[str, Any]
    budget: Budget
    steps: int
    epochs: float
    batch: int
    utilization: float
    activations: dict[str, dict[int, float]]
    rates: dict[str, float]
    hours: dict[str, dict[int, float | None]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    data: Any,
    model: str | None = None,
    *,
    preset: str | Path | None = None,
    options: Sequence[str] | Mapping[str, Any] = (),
    columns: Sequence[str] | None = None,
    context: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    missing: str = "keep",
    reading: Reading | Mapping[str, Any] | None = None,
    valid: Any = None,
    test: Any = None,
    weight: str | None = None,
    exclude: str | Sequence[str] | None = None,
    split: str = RANDOM,
    group: str | None = None,
    bits: int | None = None,
    size: int | tuple[int, int] | None = None,
    crop: str | int | None = None,
    gray: bool = False,
    window: int | None = None,
    companding: str | None = None,
    sound: str | None = None,
    seed: int = 0,
    devices: Sequence[int] = (1, 8, 64),
    utilization: float = 0.3,
) -> Forecast:
    """Size and cost of the fit that :func:`fit` would make of the same arguments; nothing is trained, downloaded or written.

    Operations and memory are counted on the meta device, from shapes alone. Of data sets of the Hub known by name shape and number of
    images are known without a network; other data are read. Hours assume that a device reaches ``utilization`` of its peak and that
    exchanging gradients takes no time: an estimate to a factor of two, for choosing between settings and machines.

    Arguments:
        data, model, preset, options: as in :func:`fit`, and so the rest: columns, context, kinds, missing, valid, test, weight,
            exclude, split, group, bits, size, crop, gray, window, companding, sound, seed.
        devices: numbers of devices to tell the hours for.
        utilization: the share of the peak that is reached; 0.3 is usual for convolutions of this kind in bfloat16.

    Raises:
        ValueError: what :func:`fit` would refuse; a utilization that is not in (0, 1].

    Example::

        >>> forecast = plan("cifar10", "glow")
        >>> forecast.steps, round(forecast.budget.forward / 1e9, 1), sorted(forecast.hours)
        (20000, 5.8, ['A100', 'H100', 'this machine'])
    """
    if not 0 < utilization <= 1 or not all(count >= 1 for count in devices):
        raise ValueError(f"plan: expected a utilization in (0, 1] and at least one device, got {utilization} and {list(devices)}")
    request = Request(
        data,
        columns=columns,
        exclude=exclude,
        context=context,
        kinds=kinds,
        missing=missing,
        reading=None if reading is None else Reading.of(reading).to_json(),
        weight=weight,
        valid=valid,
        test=test,
        seed=seed,
        split=split,
        group=group,
        bits=bits,
        size=size,
        crop=crop,
        gray=gray,
        window=window,
        companding=companding,
        sound=sound,
    )
    subject = subject_for(request, model_name(model, preset))
    subject.check(request)
    notes = ["gradients exchanged between devices, validations and loading are not counted; devices with few rows each reach less"]
    known = subject.foreseen(request)
    if known is not None:
        schema, rows, suggested = known
        title = request.called
        if context:
            notes.append("labels to condition on are not counted: they are known when the data are there")
        if model is None and preset is None:
            model, preset, _ = suggested
    else:
        read = subject.read(request)
        title, schema, rows = read.name, read.schema, len(read.lesson)
        if model is None and preset is None:
            model, preset, _ = subject_of(read).recommend(read)
    name, chosen = chosen_model(model, preset, options)
    recipe, training = signature.parse_options(chosen, MODELS[name], train)
    recipe, training = signature.defaults(MODELS[name]) | recipe, signature.defaults(train) | training
    batch = min(training["batch"], rows)
    steps = training["steps"] or default_steps(rows, batch)
    counted = {kind: _counted(name, recipe | {"memory": kind}, schema) for kind in ("full", "constant", "checkpoint") if "memory" in recipe}
    one = counted[recipe["memory"]] if counted else _counted(name, recipe, schema)
    low = training["precision"] == "bf16"
    if low:
        notes.append("tensors are those of float32; bfloat16 nets keep about half of it")
    rates = {kind: utilization * 1e12 * (half if low else single) for kind, (half, single) in PEAKS.items()}
    rates[THIS_MACHINE] = utilization * _measured(torch.bfloat16 if low else torch.float32)
    hours = {
        kind: {count: one.step * batch * steps / (rate * count) / 3600 if batch >= count else None for count in devices}
        for kind, rate in rates.items()
    }
    kinds_of_memory = counted or {"full": one}
    return Forecast(
        data=title,
        shape=tuple(schema.shape),
        rows=rows,
        model=name,
        options=recipe,
        train=training,
        budget=one,
        steps=steps,
        epochs=steps * batch / rows,
        batch=batch,
        utilization=utilization,
        activations={kind: {n: b.activations * batch / n + b.fixed for n in devices if n <= batch} for kind, b in kinds_of_memory.items()},
        rates=rates,
        hours=hours,
        notes=notes,
    )


def print_forecast(forecast: Forecast) -> None:
    """Print a forecast as tables on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    one, precision = forecast.budget, "bfloat16" if forecast.train["precision"] == "bf16" else "float32"
    shape = " x ".join(map(str, forecast.shape))
    facts = Table(title=f"{forecast.model} on {forecast.data}: {forecast.rows:,} rows of {shape}", title_justify="left", show_header=False)
    for words, value in (
        ("parameters", f"{one.parameters:,}"),
        ("operations of one log-likelihood", f"{one.forward / 1e9:,.3g} GFLOP per row"),
        ("operations of one training step", f"{one.step / 1e9:,.3g} GFLOP per row, {one.step * forecast.batch / 1e12:,.3g} TFLOP per step"),
        ("steps", f"{forecast.steps:,} of {forecast.batch:,} rows, {forecast.epochs:,.1f} passes over the data"),
        ("weights, gradients, optimizer, average", f"{_gigabytes(one.states)} on each device"),
        ("precision", precision),
    ):
        facts.add_row(words, value)
    console.print(facts)
    memory = forecast.options.get("memory", "full")
    columns = [f"{n} device{'s' * (n != 1)}" for n in next(iter(forecast.hours.values()))]
    table = Table(title="Tensors of a step at their peak, on each device", title_justify="left")
    for heading in ("memory", *columns):
        table.add_column(heading, justify="left" if heading == "memory" else "right")
    for kind, sizes in forecast.activations.items():
        cells = [_gigabytes(sizes[n]) if n in sizes else "" for n in next(iter(forecast.hours.values()))]
        table.add_row(f"{kind}{' (chosen)' * (kind == memory)}", *cells)
    console.print(table)
    table = Table(title=f"Hours of training, at {100 * forecast.utilization:g} % of the peak", title_justify="left")
    for heading in ("device", "TFLOP/s reached", *columns):
        table.add_column(heading, justify="left" if heading == "device" else "right")
    for kind, row in forecast.hours.items():
        table.add_row(kind, f"{forecast.rates[kind] / 1e12:,.3g}", *("" if value is None else f"{value:,.3g}" for value in row.values()))
    console.print(table)
    for note in forecast.notes:
        console.print(f"Note: {note}.")


def _counted(name: str, recipe: Mapping[str, Any], schema: Schema | WholeSchema) -> Budget:
    """The budget of a recipe for data of this schema."""
    with torch.device("meta"):
        flow = build({"model": {"name": name, **recipe}}, schema).to("meta")  # statistics of columns are made elsewhere
        x = torch.zeros(COUNTED_ROWS, *flow.shape, dtype=flow.entry.dtype)
        context = None if flow.context_shape is None else torch.zeros(COUNTED_ROWS, *flow.context_shape, dtype=torch.float64)
    return budget(flow, x, context)


def _measured(dtype: torch.dtype) -> float:
    """Operations per second of matrix products on this machine's device, with all the threads that torch uses."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    a @ b
    wait()
    start, best = time.perf_counter(), float("inf")  # the fastest one: others may be at work
    while (now := time.perf_counter()) - start < MEASURE_SECONDS:
        a @ b
        wait()
        best = min(best, time.perf_counter() - now)
    return 2.0 * side**3 / best


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.3g} GB" if size >= 1e9 else f"{size / 1e6:,.3g} MB"
