"""The main verb: from data to a fitted, judged and reported flow."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import options as signature
from ..baselines import baselines, files, no_files
from ..core import Flow
from ..data import Data, ImageSchema
from ..data.notes import repeated
from ..doctor import diagnose
from ..evaluation import Results, c2st, calibration, evaluate, likelihood_quantiles, verdict
from ..models import MODELS
from ..models.build import build
from ..presets import read_preset
from ..presets.recommend import alpha_for, recommend
from ..training import History, Run
from ..training import fit as train
from ..training.processes import Processes, count, first
from ..words import nearest
from .runs import data_of, keep_results
from .sources import IN_MEMORY, as_images, read_source, settings_of, where
from .watching import TrainingSheets


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
    missing: str = "error",
    valid: Any = None,
    test: Any = None,
    weight: str | None = None,
    bits: int | None = None,
    size: int | tuple[int, int] | None = None,
    crop: str | int | None = None,
    gray: bool = False,
    time_limit: float | None = None,
    seed: int = 0,
    samples: int = 1,
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
        columns, context, kinds, missing, valid, test, weight: as :func:`pushforward.data.load` takes them.
        bits, size, crop, gray: of images, as :func:`pushforward.data.load_images` takes them, with context, valid and test.
        time_limit: seconds of training; the schedule is fitted to it.
        seed: of splits, initial weights, order of rows and noise.
        samples: K, passes averaged for each row where the likelihood is not exact.
        overwrite: replace a run that is there.
        resume: go on with a run that was stopped, with its own settings; start it if it is not there.
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
    progress = progress and first()
    say: Callable[[str], None] = (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda text: None)
    given = {
        "columns": _listed(columns),
        "context": _listed(context),
        "kinds": dict(kinds) if kinds else None,
        "missing": missing,
        "seed": seed,
        "weight": weight,
        "bits": bits,
        "size": size,
        "crop": crop,
        "gray": gray,
        "valid": valid,
        "test": test,
    }
    run = Run.load(out) if resume and out is not None and Path(out).exists() else None
    if model is None and preset is None and run is not None:
        model = run.config["model"]["name"]
    pictures = as_images(data, model_name(model, preset))
    settings = settings_of(pictures, given)
    read, why = None, ""
    if model is None and preset is None:
        read = read_source(data, settings, pictures, valid, test)
        model, preset, why = recommend(read)
    name, chosen = chosen_model(model, preset, options)
    recipe, training = signature.parse_options(chosen, MODELS[name], train)
    if run is not None:
        again = {key: value for key, value in settings.items() if value and value != "error"}
        check_same(run, {"data": again, "model": recipe | {"name": name}, "train": training}, where(data))
        if first():
            (run.path / "scores.json").unlink(missing_ok=True)
        in_memory = run.config["data"]["source"] == IN_MEMORY
        read = read_source(data, run.config["data"], pictures, valid, test) if in_memory else data_of(run)
        config = run.config
        config["train"] |= training | ({} if time_limit is None else {"time_limit": time_limit})
    else:
        read = read or read_source(data, settings, pictures, valid, test)
        if pictures and "alpha" not in recipe:
            recipe["alpha"] = alpha_for(read)
        config = {
            "data": {"source": where(data), "name": read.name} | settings,
            "model": {"name": name} | signature.defaults(MODELS[name]) | recipe,
            "train": signature.defaults(train) | training | {"seed": seed, "time_limit": time_limit},
        }
    with torch.random.fork_rng():
        torch.manual_seed(config["train"]["seed"])
        flow = build(config, read.schema)
    run = run or create(out, config, read, overwrite)
    for note in [*read.notes, *([why] if why else [])]:
        say(note)
    name = config["model"]["name"]
    say(f"{name}: {sum(p.numel() for p in flow.parameters()):,} parameters; training in {run.path}")
    history = train_into(run, flow, read, **config["train"], resume=resume, progress=progress)
    if history.stopped == "interrupted":
        say(f"stopped after {history.steps:,} steps, at a checkpoint in {run.path}; go on with --resume")
        raise KeyboardInterrupt
    Processes().wait()  # for the weights in the run
    if not first():
        return run
    say(f"trained {history.steps:,} steps in {history.seconds:.0f} s (ended by: {history.stopped}); judging on the test rows")
    _judge(run, read, run.flow, name, samples, history.seconds, report)
    return run


def _judge(run: Run, data: Data, flow: Flow, name: str, samples: int, seconds: float, report: bool) -> None:
    """Scores on the test split, the classifier test, the doctor's findings, the report."""
    score = evaluate(flow, data.test, samples=samples, schema=run.schema, name=name, train_seconds=seconds)
    pictures = isinstance(data.schema, ImageSchema)
    others = (
        files(data.test, data.schema) if isinstance(data.schema, ImageSchema) else baselines(data, data.schema.layers(), samples=samples)
    )
    scores = [score, *others]
    test = c2st(flow, data.test) if len(data.test) >= 20 and not pictures else None  # trees on pixels would say little, and take hours
    ranked = None if pictures else calibration(flow, data.test, data.schema.names)
    alone = no_files(data.schema) if isinstance(data.schema, ImageSchema) else ""
    quantiles = likelihood_quantiles(flow, data.train, samples)
    words = verdict(scores, alone, repeated(data.notes))
    found = Results(scores, words, data.entropy, test, quantiles, calibration=ranked)
    keep_results(run, found)
    if report:
        from ..report import write_report  # draws, and matplotlib takes a second to import

        write_report(run, data, found, diagnose(flow, data.test, run.schema, ranked=ranked, notes=data.notes))


def model_name(model: str | None, preset: str | Path | None) -> str | None:
    """The recipe that was asked for, by itself or by a preset."""
    return model or (None if preset is None else read_preset(preset).get("model.name"))


def chosen_model(model: str | None, preset: str | Path | None, options: Sequence[str] | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The recipe's name, and all settings that were given for it and for training."""
    settings = read_preset(preset) if preset is not None else {}
    preset_model = settings.pop("model.name", None)
    name = model or preset_model or "nsf"
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}{nearest(name, MODELS) or ';'} the models are {', '.join(MODELS)}")
    if preset_model is not None and name != preset_model:
        raise ValueError(f"preset {preset}: is for the model {preset_model}, not {name}; leave one of the two out")
    settings = {k: v for k, v in settings.items() if k not in ("train.seed", "train.time_limit")}
    return name, settings | dict(options if isinstance(options, Mapping) else signature.read_pairs(options))


def _listed(names: str | Sequence[str] | None) -> list[str] | None:
    return [names] if isinstance(names, str) else list(names) if names else None


def create(out: str | Path | None, config: dict[str, dict[str, Any]], data: Data, overwrite: bool) -> Run:
    """A run at ``out``; without one, in a temporary directory that goes with the object. Of many processes the first one writes it."""
    if out is not None and not first():
        return Run(out, config, data.schema)
    if out is not None:
        return Run.create(out, config, data.schema, overwrite=overwrite)
    path = tempfile.mkdtemp(prefix="pushforward-")
    run = Run.create(path, config, data.schema)
    weakref.finalize(run, shutil.rmtree, path, ignore_errors=True)
    return run


def train_into(run: Run, flow: Flow, data: Data, **options: Any) -> History:
    """Train the flow of a run; one that is refused before it began leaves nothing half-written."""
    schema = data.schema
    watch = TrainingSheets(run.path / "figures" / "training", schema, data.valid) if isinstance(schema, ImageSchema) else None
    try:
        return train(flow, data.train, data.valid, run=run, watch=watch, **options)
    except ValueError:
        if first() and not run.state.exists():
            shutil.rmtree(run.path)
        raise


def check_same(run: Run, given: dict[str, dict[str, Any]], source: str | list[str] | None) -> None:
    """Raise unless what was given again is what the run was started with; only the steps, their number and kind, may change."""
    for table, values in given.items():
        for key, value in values.items():
            before = run.config[table].get(key)
            if value != before and (table, key) not in (("train", "steps"), ("train", "compile")):
                raise ValueError(
                    f"{run.path}: was started with {table}.{key} = {before}, not {value}; leave it out to resume, or use --overwrite"
                )
    if source != run.config["data"]["source"]:
        raise ValueError(f"{run.path}: was started on {run.config['data']['source']}, not on {source}; give that, or use --overwrite")
