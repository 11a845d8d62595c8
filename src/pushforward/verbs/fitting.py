"""The main verb: from data to a fitted, judged and reported flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import options as signature
from ..core import Flow
from ..data import Data, Reading
from ..data.doubts import repeated, without_repeated
from ..data.request import Request, where
from ..data.splits import RANDOM
from ..data.tables import IN_MEMORY
from ..evaluation import Results, evaluate, likelihood_quantiles, verdict
from ..models import MODELS, TABLE_MODELS
from ..subjects import subject_for, subject_of
from ..training import Run
from ..training import fit as train
from ..training.directory import Config
from ..training.fit import check_options, check_rows
from ..training.processes import Processes, count, first
from ..words import tell, time_span
from .choosing import chosen_model, model_name
from .resuming import check_same, create, holding, lengthen, train_into, untrained
from .runs import data_of, keep_results, keep_rows, load


def fit(
    data: Any,
    model: str | None = None,
    *,
    out: str | Path | None = None,
    preset: str | Path | None = None,
    options: Sequence[str] | Mapping[str, Any] = (),
    columns: str | Sequence[str] | None = None,
    context: str | Sequence[str] | None = None,
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
    time_limit: float | str | None = None,
    seed: int = 0,
    samples: int = 1,
    start: Run | str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: bool = True,
    progress: bool = True,
) -> Run:
    """Fit a flow to data, judge it on held-out rows beside baselines, and write a report.

    Afterwards ``run.flow`` is the fitted flow, in the data's own units, and :func:`results` has the figures. Launched by ``torchrun`` or
    ``accelerate launch``, all processes train, and the first one speaks, judges and writes; the others return after training.

    Arguments:
        data: a name (``list_data()``), a path, an array, tensor, data frame or Arrow table; ``image:PATH`` for the density of a picture.
            Images are a folder, Parquet files with image bytes, whole numbers of 3 or 4 axes, a name of the Hub, or ``digits`` with a
            model of images.
        model: a recipe (``list_models()``). With neither model nor preset, :func:`recommend` chooses by the data and says why.
        out: the run's directory; without one the run lives in a temporary directory that goes with the returned object.
        preset: the name of a preset (``list_presets()``), a file like one, or the config.toml of another run.
        options: ``["model.steps=8", "train.lr=1e-3"]`` or a mapping with such names; they win over the preset.
        columns, context, kinds, missing, reading, valid, test, weight, exclude, split, group: as :func:`pushforward.data.load` takes
            them; missing values are kept by default, which asks for a model that can take them (``any_order``), "ignore" keeps them as
            what is not known, and "drop" drops such rows.
        bits, size, crop, gray: of images, as :func:`pushforward.data.load_images` takes them, with context, valid and test.
        bits, window, companding, sound: of sounds, as :func:`pushforward.data.load_sounds` takes them, likewise.
        time_limit: of training, in seconds or as "2m"; the schedule is fitted to it. With ``resume``, in all, what is trained included.
        seed: of splits, initial weights, order of rows and noise.
        samples: K, passes averaged for each row where the likelihood is not exact.
        start: a run whose weights to begin with, on these data: with its recipe, its options and its understanding of the columns.
        overwrite: replace a run that is there; what no fit wrote stays in its directory.
        resume: go on with a run that was stopped, with its own settings; start it if it is not there. One that had come to its end goes
            on with a larger ``time_limit`` or more ``train.steps``.
        report: draw report.html and figures/.
        progress: say on stderr what was understood of the data and how training goes.

    Raises:
        ValueError: data, names or options that can't be used; the message says what, where and the remedy.
        OSError: the disk is full; the last checkpoint can be loaded.
        FloatingPointError: training diverges whatever the learning rate.
        KeyboardInterrupt: training was stopped, at a checkpoint: ``resume`` goes on from there.

    Example::

        >>> run = fit("moons", "nsf", time_limit=30)
        >>> run.flow.sample((5,)).shape, results(run)["verdict"]
        (torch.Size([5, 2]), 'nsf is best: 0.521 nats per row above the best baseline (Gaussian mixture, 50 components).')
    """
    if out is None and count() > 1:
        raise ValueError("fit: many processes share one run directory; say where it is by out")
    limit = None if time_limit is None else time_span(time_limit)
    progress = progress and first()
    say: Callable[[str], None] = tell if progress else (lambda text: None)
    if model is not None and not isinstance(model, str):
        raise ValueError(
            f"fit: expected the name of a model, got {type(model).__name__}; training.fit(flow, rows, valid) trains a flow of your own"
        )
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
    with holding(out, overwrite, resume) as run:
        if start is None and run is not None and not run.state.exists():  # killed before its first checkpoint
            start = run.config.get("start", {}).get("run")
        begin = None if start is None else load(start)
        if run is not None:
            (read, training), why = _go_on(run, request, model, preset, options, limit), ""
            flow = untrained(run.config, run.schema, begin)
        else:
            config, read, why = _set_out(request, model, preset, options, limit, begin)
            check_rows(read.train, read.valid)
            training = config["train"]
            check_options(**training)
            flow = untrained(config, read.schema, begin)
            run = create(out, config, read, overwrite)
            if first():
                keep_rows(run, read)
        name = run.config["model"]["name"]
        if name in TABLE_MODELS:  # it has masses at repeated values
            read = replace(read, notes=without_repeated(read.notes))
        for note in [*read.notes, *([why] if why else [])]:
            say(note)
        among = f", by {count()} processes" if count() > 1 else ""
        say(f"{name}: {sum(p.numel() for p in flow.parameters()):,} parameters; training in {run.path}{among}")
        history = train_into(run, flow, read, **training, initialize=begin is None, resume=resume, progress=progress)
        if history.stopped == "interrupted":
            say(f"stopped after {history.steps:,} steps, at a checkpoint in {run.path}; go on with --resume")
            raise KeyboardInterrupt
        Processes().wait()  # for the weights in the run
        if first():
            say(f"trained {history.steps:,} steps in {history.seconds:.0f} s (ended by: {history.stopped}); judging on the test rows")
            _judge(run, read, run.flow, name, samples, history.seconds, report)
    return run


def _set_out(
    request: Request,
    model: str | None,
    preset: str | Path | None,
    options: Sequence[str] | Mapping[str, Any],
    time_limit: float | None,
    begin: Run | None,
) -> tuple[Config, Data, str]:
    """Configuration and data of a new run, and why a model was chosen."""
    schema = None
    if begin is not None:
        schema, preset = begin.schema, preset or begin.path / "config.toml"
        request = request.after(begin.config["data"])
    subject = subject_for(request, model_name(model, preset))
    if begin is not None and not isinstance(subject_of(begin), subject):
        theirs = subject_of(begin).noun
        raise ValueError(f"fit: {begin.path} was fitted to {theirs}, and {request.called} holds {subject.noun}; fit without --from")
    subject.check(request)
    read, why = None, ""
    if model is None and preset is None:
        read = subject.read(request)
        model, preset, why = subject_of(read).recommend(read)
    name, chosen = chosen_model(model, preset, options)
    recipe, training = signature.parse_options(chosen, MODELS[name], train)
    read = read or subject.read(request, schema)
    known = signature.defaults(MODELS[name])
    recipe = {key: value for key, value in subject_of(read).options(read).items() if key in known} | recipe
    asked = request.to_table(subject.reads)
    config = {
        "data": {"source": asked["source"], "name": read.name} | asked,
        "model": {"name": name} | known | recipe,
        "train": signature.defaults(train) | training | {"seed": request.seed, "time_limit": time_limit},
    }
    if begin is not None:
        config["start"] = {"run": str(begin.path.resolve())}
    return config, read, why


def _go_on(
    run: Run,
    request: Request,
    model: str | None,
    preset: str | Path | None,
    options: Sequence[str] | Mapping[str, Any],
    time_limit: float | None,
) -> tuple[Data, dict[str, Any]]:
    """The data of a run to resume, and its options of training, of which only how long may change."""
    name, chosen = chosen_model(model or (None if preset else run.config["model"]["name"]), preset, options)
    recipe, training = signature.parse_options(chosen, MODELS[name], train)
    subject = subject_of(run)
    subject.check(request)
    check_same(run, {"data": request.said(), "model": recipe | {"name": name}, "train": training}, where(request.source))
    if run.request.source != IN_MEMORY:
        read = data_of(run)
    else:
        asked = replace(run.request, source=request.source, valid=request.valid, test=request.test)
        read = subject.read(asked, subject.schema)
    course = lengthen(run, training, time_limit)
    if first():
        (run.path / "scores.json").unlink(missing_ok=True)
    return read, course


def _judge(run: Run, data: Data, flow: Flow, name: str, samples: int, seconds: float, report: bool) -> None:
    """Scores on the test split, the classifier test, the doctor's findings, the report."""
    subject = subject_of(data)
    score = evaluate(flow, data.test, samples=samples, schema=run.schema, name=name, train_seconds=seconds)
    scores = [score, *subject.baselines(data, samples)]
    test, ranked = subject.two_sample(flow, data.test), subject.calibration(flow, data.test)
    quantiles = likelihood_quantiles(flow, data.train, samples)
    words = verdict(scores, subject.alone, repeated(data.notes))
    found = Results(scores, words, data.entropy, test, quantiles, calibration=ranked)
    keep_results(run, found)
    if report:
        from ..doctor import diagnose
        from ..report import write_report  # draws, and matplotlib takes a second to import

        write_report(run, data, found, diagnose(flow, data.test, run.schema, ranked=ranked, notes=data.notes))
