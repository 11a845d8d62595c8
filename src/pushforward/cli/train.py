"""Verbs that train: fit, distill, gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .app import Json, RunArgument, Samples, app, print_json, seed_option

Lists = Annotated[list[str] | None, typer.Option(metavar="A,B,C", help="Columns to model; all numbers and times otherwise.")]


@app.command("fit")
def fit_command(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A name (list data), a file (.csv .tsv .parquet .arrow .npy .npz), a folder of images or image:PATH.",
            show_default=False,
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Such as model.steps=8 train.lr=1e-3 (list models).", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The recipe (list models).", show_default="by the data")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Settings to start from (list presets).")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="Directory of the run.", show_default="runs/DATA-MODEL")
    ] = None,
    columns: Lists = None,
    context: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Columns or labels to condition on; may be text.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Columns that take no part.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KIND", help="real, integer, positive, interval:LOW:HIGH, grid:STEP, category, time, ...; repeatable."),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(metavar="keep|ignore|drop|error", help="Missing values: keep the rows, with gaps modelled or ignored (any_order)."),
    ] = "keep",
    sep: Annotated[str | None, typer.Option(metavar="CHAR", help="Text: between cells: comma, semicolon, tab, pipe, blank.")] = None,
    decimal: Annotated[str | None, typer.Option(metavar=".|,", help="Text: the decimal mark.")] = None,
    encoding: Annotated[str | None, typer.Option(metavar="NAME", help="Text: as utf-8, cp1252, utf-16-le.")] = None,
    null: Annotated[list[str] | None, typer.Option(metavar="WORD", help="Text: what stands for missing values; repeatable.")] = None,
    date_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="Text: of dates, as %d/%m/%Y.")] = None,
    skip: Annotated[int | None, typer.Option(metavar="N", min=0, help="Text: lines before the table.")] = None,
    valid: Annotated[str | None, typer.Option(metavar="FILE", help="Validation rows; a tenth of DATA otherwise.")] = None,
    test: Annotated[str | None, typer.Option(metavar="FILE", help="Test rows; a tenth of DATA otherwise.")] = None,
    weight: Annotated[str | None, typer.Option(metavar="NAME", help="The column of sample weights.")] = None,
    split: Annotated[
        str, typer.Option(metavar="random|NAME", help="How rows are held out: at random, or the last ones in the order of this column.")
    ] = "random",
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Rows of one value of this column stay in one split.")] = None,
    bits: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=16, help="Images: bits of a pixel; sounds: of a level.", show_default="8")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="N|HxW", help="Images: pixels to resize to.", show_default="as they are")] = None,
    crop: Annotated[
        str | None, typer.Option(metavar="center|none|N", help="Images: what to cut out before; N centred pixels.", show_default="center")
    ] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Images: drop the colours.")] = False,
    window: Annotated[int | None, typer.Option(min=2, help="Sounds: samples of an event.", show_default="a second")] = None,
    companding: Annotated[
        Literal["mu-law", "linear"] | None, typer.Option(help="Sounds: the steps of levels.", show_default="mu-law")
    ] = None,
    sound: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sounds: the column of DATA, a table, that holds the paths of sound files.")
    ] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="TIME", help="Of training, all sittings together: 90s, 2m, 1h30m.")] = None,
    seed: Annotated[int, seed_option("splits, weights and order")] = 0,
    samples: Samples = 1,
    start: Annotated[Path | None, typer.Option("--from", metavar="RUN", help="Begin with the weights of this run, on DATA.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped; with more train.steps or --time-limit, with any run.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Draw report.html.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell the size, the memory and the hours of this fit.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> None:
    """Fit a flow to DATA, judge it beside baselines, write a report."""
    from ..data import is_images, is_sounds
    from ..training.processes import first
    from ..usage import remedies, usage
    from ..verbs import fit, plan, print_forecast, print_scores, results
    from .values import column_kinds, image_size, names

    spelled = {"sep": sep, "decimal": decimal, "encoding": encoding, "null": null, "date_format": date_format, "skip": skip}
    given: dict[str, Any] = {
        "reading": {name: value for name, value in spelled.items() if value is not None} or None,
        "preset": preset,
        "options": options or (),
        "columns": names(columns),
        "exclude": names(exclude),
        "context": names(context),
        "kinds": column_kinds(kind),
        "missing": missing,
        "valid": valid,
        "test": test,
        "weight": weight,
        "split": split,
        "group": group,
        "bits": bits,
        "size": image_size(size),
        "crop": int(crop) if crop is not None and crop.isdigit() else crop,
        "gray": gray,
        "window": window,
        "companding": companding,
        "sound": sound,
        "seed": seed,
    }
    if dry_run:
        forecast = plan(data, model, **given)
        print_json(forecast.to_json()) if as_json else print_forecast(forecast)
        return
    usual = f"from-{start.resolve().name}" if start else "sounds" if sound or is_sounds(data) else "images" if is_images(data) else "table"
    run = fit(
        data,
        model,
        out=out or Path("runs", f"{_stem(data)}-{model or (Path(preset).stem if preset else usual)}"),
        **given,
        time_limit=time_limit,
        samples=samples,
        start=start,
        overwrite=overwrite,
        resume=resume,
        report=report,
        progress=not quiet,
    )
    if not first():  # of many processes one speaks
        return
    found = results(run)
    page = run.path / "report.html"
    if as_json:
        print_json({"run": str(run.path), "report": str(page) if report else None} | {k: v for k, v in found.items() if k != "quantiles"})
        return
    print_scores(found["scores"])
    print(found["verdict"])
    if found["entropy"] is not None:
        print(f"No density can score above {-found['entropy']:.3f} nats per row here, minus the data's entropy.")
    if found["c2st"] is not None:
        print(f"Two-sample test: {found['c2st']['words']}.")
    if found["calibration"] is not None:
        print(f"Intervals: {found['calibration']['words']}.")
    if report:
        print(f"\nReport: {page}")
    print("\nNext:", *remedies(run, data, found["scores"]), *usage(run, data), sep="\n  ")


@app.command("distill")
def distill_command(
    run: RunArgument,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION=VALUE", help="Such as model.width=256 train.lr=1e-3; the teacher's otherwise.", show_default=False),
    ] = None,
    to: Annotated[str, typer.Option(metavar="NAME", help="The student's recipe, which samples in one pass.")] = "iaf",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="STUDENT", help="Directory of the student.", show_default="RUN-NAME")
    ] = None,
    rows: Annotated[int, typer.Option(metavar="N", min=20, help="Samples of the teacher to learn from; of sounds, windows.")] = 50_000,
    power: Annotated[
        float | None, typer.Option(metavar="WEIGHT", min=0, help="Sounds: of the distance of power spectra in the loss.", show_default="1")
    ] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="TIME", help="Of training: 90s, 2m, 1h30m.")] = None,
    seed: Annotated[int, seed_option("samples, weights and order")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a student that was stopped.")] = False,
    report: Annotated[bool, typer.Option(help="Draw report.html.")] = True,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> None:
    """Teach a flow that samples in one pass, of sounds in a few, to give RUN's samples."""
    from ..usage import usage
    from ..verbs import comparison, distill, results

    student = distill(
        run,
        to,
        out=out or run.with_name(f"{run.resolve().name}-{to}"),
        options=options or (),
        rows=rows,
        power=power,
        time_limit=time_limit,
        seed=seed,
        overwrite=overwrite,
        resume=resume,
        report=report,
        progress=not quiet,
    )
    found = results(student)["distillation"]
    page = student.path / "report.html"
    if as_json:
        print_json({"run": str(student.path), "report": str(page) if report else None, "teacher": str(run)} | found)
        return
    print("\n".join(comparison(found)))
    if report:
        print(f"\nReport: {page}")
    print("\nNext:", *usage(student), sep="\n  ")


@app.command("gallery")
def gallery_command(
    models: Annotated[list[str], typer.Option(metavar="A,B", help="Recipes or presets; repeat for one with options, nsf:bins=16,bound=3.")],
    data: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Data of two columns.", show_default="all toys")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Directory of the pictures.")] = Path("gallery"),
    time_limit: Annotated[str, typer.Option(metavar="TIME", help="Of training, for each fit.")] = "30s",
    seed: Annotated[int, seed_option("weights and rows")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No talk on stderr.")] = False,
) -> None:
    """Fit models to data of two columns, draw them beside each other, print the gaps to the entropy."""
    from ..data import TOYS
    from ..verbs import gallery
    from .values import names

    chosen = [name for given in models for name in ([given] if ":" in given else names([given]) or ())]
    print(gallery(chosen, names(data) or list(TOYS), out, time_limit=time_limit, seed=seed, progress=not quiet))
    print(f"\nPictures: {out}/wall.png and one for each data set")


def _stem(data: str) -> str:
    """What a run is called by: the name or file without ending, ``image:`` and ``?dark``."""
    return Path(data.removeprefix("image:").partition("?")[0]).stem
