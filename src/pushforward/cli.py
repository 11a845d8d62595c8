"""The command line: a thin layer over :mod:`pushforward.verbs`, which is imported when a verb runs so that --help is quick.

Results go to stdout, talk to stderr. What is wrong with the input is said in one sentence and the exit code is 2.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    help="Fit, judge and sample normalizing flows on your data.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: the decorated one takes twice the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The directory that fit wrote.", show_default=False)]
Samples = Annotated[int, typer.Option(metavar="K", min=1, help="Passes averaged for each row where the likelihood is a bound.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write .parquet, .csv, .tsv, .arrow, .feather or .npy.")]
Lists = Annotated[list[str] | None, typer.Option(metavar="A,B,C", help="Columns to model; all numbers and times otherwise.")]


@app.command()
def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A name (list data), a file (.csv .tsv .parquet .arrow .npy .npz) or image:PATH.", show_default=False
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Such as model.steps=8 train.lr=1e-3 (list models).", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The recipe (list models).", show_default="nsf")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Settings to start from (list presets).")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="Directory of the run.", show_default="runs/DATA-MODEL")
    ] = None,
    columns: Lists = None,
    context: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Columns to condition on; may be text.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="NAME=KIND", help="real, integer, positive, interval:LOW:HIGH, text or time; repeatable.")
    ] = None,
    missing: Annotated[str, typer.Option(metavar="error|drop", help="What to do with rows that have missing values.")] = "error",
    valid: Annotated[str | None, typer.Option(metavar="FILE", help="Validation rows; a tenth of DATA otherwise.")] = None,
    test: Annotated[str | None, typer.Option(metavar="FILE", help="Test rows; a tenth of DATA otherwise.")] = None,
    weight: Annotated[str | None, typer.Option(metavar="NAME", help="The column of sample weights.")] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="TIME", help="Of training: 90s, 2m, 1h30m.")] = None,
    seed: Annotated[int, typer.Option(help="Of splits, weights and order.")] = 0,
    samples: Samples = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    report: Annotated[bool, typer.Option(help="Draw report.html.")] = True,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> None:
    """Fit a flow to DATA, judge it beside baselines, write a report."""
    from .options import duration, kinds, names
    from .verbs import fit, print_scores, results

    run = fit(
        data,
        model,
        out=out or Path("runs", f"{_stem(data)}-{model or (Path(preset).stem if preset else 'nsf')}"),
        preset=preset,
        options=options or (),
        columns=names(columns),
        context=names(context),
        kinds=kinds(kind),
        missing=missing,
        valid=valid,
        test=test,
        weight=weight,
        time_limit=None if time_limit is None else duration(time_limit),
        seed=seed,
        samples=samples,
        overwrite=overwrite,
        resume=resume,
        report=report,
        progress=not quiet,
    )
    found = results(run)
    page = run.path / "report.html"
    if as_json:
        _print_json({"run": str(run.path), "report": str(page) if report else None} | {k: v for k, v in found.items() if k != "quantiles"})
        return
    print_scores(found["scores"])
    print(found["verdict"])
    if found["entropy"] is not None:
        print(f"No density can score above {-found['entropy']:.3f} nats per row here, minus the data's entropy.")
    if found["c2st"] is not None:
        print(f"Two-sample test: {found['c2st']['words']}.")
    if report:
        print(f"\nReport: {page}")
    table = data if Path(data).exists() else "TABLE.parquet"
    print(f"\nNext:\n  pushforward sample {run.path} -n 1000{_example(run)} -o samples.parquet")
    print(f"  pushforward score {run.path} {table} -o scored.parquet\n  pushforward doctor {run.path}")


@app.command()
def evaluate(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows to judge on; the run's test rows otherwise.", show_default=False)
    ] = None,
    samples: Samples = 1,
    as_json: Json = False,
) -> None:
    """Print the mean log-likelihood of the test rows, or of DATA."""
    from .verbs import evaluate, load, print_scores, results

    loaded = load(run)
    score = evaluate(loaded, data, samples=samples).to_json()
    scores = [score] if data is not None else [score, *results(loaded)["scores"][1:]]
    if as_json:
        _print_json({"run": str(run), "scores": scores})
    else:
        print_scores(scores)


@app.command()
def sample(
    run: RunArgument,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many, for each context.")] = 1000,
    out: Out = None,
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B|FILE", help="What to condition on: values, repeatable for more columns, or a table."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
) -> None:
    """Draw samples in the columns and types of the data; to stdout as CSV without -o."""
    import pyarrow.csv

    from .options import conditions
    from .verbs import sample

    table = sample(run, number, out, context=conditions(context), seed=seed)
    if out is None:
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    else:
        print(f"{table.num_rows:,} samples in {out}")


@app.command()
def score(
    run: RunArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="The table.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE", help="The copy: .parquet, .csv, .tsv, .arrow, .feather or .npy.", show_default=False),
    ],
    samples: Samples = 1,
    seed: Annotated[int, typer.Option(help="Of the noise of dequantization.")] = 0,
    as_json: Json = False,
) -> None:
    """Add log-likelihood, bits and percentile to a copy of DATA; flag rows far below the training range."""
    from .verbs import score

    scored = score(run, data, out, samples=samples, seed=seed)
    if as_json:
        found = {key: getattr(scored, key) for key in ("rows", "missing", "unusual", "nats", "kind")}
        found["nats"] = scored.nats if math.isfinite(scored.nats) else None
        _print_json({"run": str(run), "out": str(out)} | found)
        return
    print(f"{scored.rows:,} rows in {out}: mean log-likelihood {scored.nats:.4f} nats ({scored.kind})")
    print(f"{scored.unusual:,} unusual, less likely than all but 0.1 % of the training rows (column 'unusual')")
    if scored.missing:
        print(f"{scored.missing:,} without figures, as values are missing")


@app.command()
def doctor(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows to look at; the run's test rows otherwise.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what might be wrong with a fitted flow, layer by layer."""
    from .verbs import diagnose

    diagnosis = diagnose(run, data)
    if as_json:
        _print_json(diagnosis.to_json())
    else:
        print("\n".join(diagnosis.lines()))


@app.command()
def gallery(
    models: Annotated[list[str], typer.Option(metavar="A,B", help="Recipes or presets; repeat for one with options, nsf:bins=16,bound=3.")],
    data: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Data of two columns.", show_default="all toys")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Directory of the pictures.")] = Path("gallery"),
    time_limit: Annotated[str, typer.Option(metavar="TIME", help="Of training, for each fit.")] = "30s",
    seed: Annotated[int, typer.Option(help="Of weights and rows.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> None:
    """Fit models to data of two columns, draw them beside each other, print the gaps to the entropy."""
    from .data import TOYS
    from .options import duration, names
    from .verbs import gallery

    chosen = [name for given in models for name in ([given] if ":" in given else names([given]) or ())]
    print(gallery(chosen, names(data) or list(TOYS), out, time_limit=duration(time_limit), seed=seed, progress=not quiet))
    print(f"\nPictures: {out}/wall.png and one for each data set")


@app.command("list")
def list_(
    what: Annotated[Literal["models", "data", "presets"], typer.Argument(help="What to list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """List models (with their options), data sets or presets."""
    from . import verbs

    listings: dict[str, Callable[[], dict[str, Any]]] = {
        "models": verbs.list_models,
        "data": verbs.list_data,
        "presets": verbs.list_presets,
    }
    found = listings[what]()
    if as_json:
        _print_json(found)
        return
    width = max(map(len, found), default=0)
    for name, entry in found.items():
        print(f"{name:{width}}  {entry['is'] if what == 'models' else entry}")
        if what == "models":
            print(" " * width, *(f" {key}={value}" for key, value in entry["options"].items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; input that can't be used ends it with one sentence and exit code 2.

    A ValueError is about the input if this package raised it; anything else is a bug and keeps its traceback, and with
    PUSHFORWARD_DEBUG=1 everything does.
    """
    try:
        app(arguments, prog_name="pushforward")
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("PUSHFORWARD_DEBUG") or not (isinstance(error, OSError) or _ours(error)):
            raise
        print(f"pushforward: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1 if isinstance(error, FloatingPointError) else 2)


def _ours(error: BaseException) -> bool:
    """Whether this package raised it, rather than something that it called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(Path(__file__).parent)


def _stem(data: str) -> str:
    """What a run is called by: the name or file without ending, ``image:`` and ``?dark``."""
    return Path(data.removeprefix("image:").partition("?")[0]).stem


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))


def _example(run: Any) -> str:
    """What a conditional run needs to be sampled, as an example."""
    first = [f"{c.name}={c.vocabulary[0] if c.vocabulary else f'{c.minimum:g}'}" for c in run.schema.context]
    return "".join(f" --context {pair}" for pair in first)
