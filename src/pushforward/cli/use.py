"""Verbs that use a fitted flow, and the lists."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..words import printable
from .app import Json, OnEngine, Out, RunArgument, Samples, Workers, app, print_json, seed_option


@app.command("evaluate")
def evaluate_command(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows to judge on; the run's test rows otherwise.", show_default=False)
    ] = None,
    samples: Samples = 1,
    by: Annotated[Literal["column"] | None, typer.Option(help="Of each column: which ones the model understands.")] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="The bound of a VAE taken apart; with --samples 5000 the posterior's gap as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the mean log-likelihood of the test rows, or of DATA."""
    from ..verbs import bound_parts, evaluate, load, nats_by_column, print_by_column, print_parts, print_scores, results

    loaded = load(run)
    if parts:
        if by is not None:
            raise ValueError("evaluate: --parts and --by are two questions; ask one at a time")
        apart = bound_parts(loaded, data, samples=samples)
        if as_json:
            print_json({"run": str(run), "parts": apart.to_json()})
        else:
            print_parts(apart)
        return
    if by is not None:
        found = nats_by_column(loaded, data)
        if as_json:
            print_json({"run": str(run), "columns": [column.to_json() for column in found]})
        else:
            print_by_column(found)
        return
    score = evaluate(loaded, data, samples=samples).to_json()
    scores = [score] if data is not None else [score, *results(loaded)["scores"][1:]]
    if as_json:
        print_json({"run": str(run), "scores": scores})
    else:
        print_scores(scores)


@app.command("compare")
def compare_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Two or more directories that fit wrote.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Rows that no run was fitted to.", show_default="test rows of the first")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Draw data beside samples of each run, .png.", show_default=False)
    ] = None,
    samples: Samples = 1,
    as_json: Json = False,
) -> None:
    """Judge runs on the same rows, with the differences row by row."""
    from ..verbs import compare, print_comparison

    found = compare(runs, data, out, samples=samples)
    if as_json:
        print_json({"runs": [str(run) for run in runs]} | found.to_json())
        return
    print_comparison(found)
    print(found.verdict)
    if out is not None:
        print(f"{out}: the data beside samples of each run")


@app.command("sample")
def sample_command(
    run: RunArgument,
    number: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="How many, for each context.", show_default="1000; 6 with --keep, 1 sound")
    ] = None,
    out: Out = None,
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B|FILE", help="What to condition on: values, repeatable for more columns, or a table."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B|FILE", help="Values of the data's own columns to start from, repeatable; or a table of them."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PART[=IMAGE]", help="Complete images from their top-half, top-third or top-10 (rows), to a .png."),
    ] = None,
    temperature: Annotated[
        str, typer.Option(metavar="T", help="Factor of the latents; below 1 nearer to the middle. Of images several: 0.5,0.7,1.")
    ] = "1",
    seed: Annotated[int | None, seed_option("the samples; without one, others at each call")] = None,
    engine: OnEngine = "local",
    workers: Workers = 1,
) -> None:
    """Draw samples in the columns and types of the data; to stdout as CSV without -o, or into a folder of part files.

    Images go to a .png sheet, .npy, .npz, .parquet or a folder of files.
    """
    import pyarrow.csv

    from ..subjects import subject_of
    from ..verbs import complete, load, sample
    from .values import conditions, decimals, part_of_images

    loaded = load(run)
    subject = subject_of(loaded)
    if out is None and subject.nowhere:
        raise ValueError(f"sample: {subject.nowhere}")
    degrees = decimals("--temperature", temperature)
    conditioned = conditions(context, [column.name for column in loaded.schema.context])
    if keep is not None:
        if given is not None or degrees != [1.0]:
            raise ValueError("sample: what is kept of images goes with neither given values nor a temperature; leave these out")
        part, images = part_of_images(keep)
        completed = complete(loaded, images, out, keep=part, n=number or 6, context=conditioned, seed=seed)
        print(f"{out}: {completed.words}")
        return
    start = conditions(given, [column.name for column in subject.columns], "--given")
    options: dict[str, Any] = {"context": conditioned, "given": start, "temperature": degrees, "seed": seed}
    table = sample(loaded, number or subject.usual, out, **options, engine=engine, workers=workers, progress=True)
    if out is None:
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    else:
        print(subject.told(table, out, "" if degrees == [1.0] else f" at temperature {temperature}"))


@app.command("score")
def score_command(
    run: RunArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="The table, or a folder of images.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The copy: .parquet, .csv, .tsv, .arrow, .feather, .npy; or a folder.", show_default=False
        ),
    ],
    samples: Samples = 1,
    seed: Annotated[int, seed_option("the noise of dequantization")] = 0,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of images: the most and least likely, .png.", show_default="OUT with .png")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option(metavar="NAME,NAME", help="Score these alone, the others integrated out.")] = None,
    given: Annotated[list[str] | None, typer.Option(metavar="NAME,NAME", help="Columns that they are conditioned on.")] = None,
    engine: OnEngine = "local",
    workers: Workers = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell the hours that a folder of part files would take.")] = False,
    as_json: Json = False,
) -> None:
    """Add log-likelihood, bits and percentile to a copy of DATA; flag rows far below the training range.

    Where the copy has no ending it is a folder: Parquet files of any size are answered part by part, by --workers processes or on Ray,
    and a job that was stopped goes on when it is called again.

    Images get a row each with path, labels and bits per dimension, and a picture of the most and least likely.
    """
    from ..verbs import plan_scoring, score
    from .values import names

    if dry_run:
        forecast = plan_scoring(run, data, samples=samples)
        if as_json:
            print_json(forecast.to_json())
        else:
            print("\n".join(forecast.lines()))
        return
    options: dict[str, Any] = {"samples": samples, "seed": seed, "figure": figure, "columns": names(columns), "given": names(given) or ()}
    scored = score(run, data, out, **options, engine=engine, workers=workers, progress=True)
    if as_json:
        found = {key: getattr(scored, key) for key in ("rows", "missing", "unusual", "impossible", "nats", "kind")}
        found["nats"] = scored.nats if math.isfinite(scored.nats) else None
        picture = {name: str(path) for name in ("figure", "pixels") if (path := getattr(scored, name)) is not None}
        print_json({"run": str(run), "out": str(out)} | picture | found)
        return
    bits = "" if scored.bits_per_dim is None else f", {scored.bits_per_dim:.4f} bits per dim"
    figures = f"mean log-likelihood {scored.nats:.4f} nats{bits} ({scored.kind})" if scored.rows > scored.missing else "none with figures"
    print(f"{scored.rows:,} rows in {out}: {figures}")
    print(f"{scored.unusual:,} unusual, less likely than all but 0.1 % of the training rows (column 'unusual')")
    if scored.figure is not None:
        print(f"The most and the least likely: {scored.figure}")
    if scored.pixels is not None:
        print(f"Where their bits go: {scored.pixels}")
    if scored.impossible:
        print(f"{scored.impossible:,} hold a value that can't be and have likelihood zero (column 'reason')")
    if scored.missing:
        print(f"{scored.missing:,} without figures, as values are missing")


@app.command("doctor")
def doctor_command(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows to look at; the run's test rows otherwise.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what might be wrong with a fitted flow, layer by layer."""
    from ..verbs import diagnose

    diagnosis = diagnose(run, data)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        print("\n".join(printable(line, 1000) for line in diagnosis.lines()))


@app.command("list")
def list_(
    what: Annotated[Literal["models", "data", "presets"], typer.Argument(help="What to list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """List models (with their options), data sets or presets."""
    from .. import verbs

    listings: dict[str, Callable[[], dict[str, Any]]] = {
        "models": verbs.list_models,
        "data": verbs.list_data,
        "presets": verbs.list_presets,
    }
    found = listings[what]()
    if as_json:
        print_json(found)
        return
    width = max(map(len, found), default=0)
    for name, entry in found.items():
        print(f"{name:{width}}  {entry['is'] if what == 'models' else entry}")
        if what == "models":
            print(" " * width, *(f" {key}={value}" for key, value in entry["options"].items()))
