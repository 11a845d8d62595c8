"""Models beside each other on data of two columns, with pictures and a table of what each reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import options as signature
from .. import plots
from ..data import Data
from ..data import load as load_data
from ..evaluation import Score, evaluate
from ..models import MODELS
from ..models.build import build
from ..presets import read_preset
from ..training import History
from ..training import fit as train
from ..words import nearest, tell, time_span
from .listing import list_presets

SHOWN = 50_000  # rows in a picture


def gallery(
    models: Sequence[str],
    data: Sequence[Any],
    out: str | Path = "gallery",
    *,
    time_limit: float | str = 30.0,
    seed: int = 0,
    progress: bool = True,
) -> str:
    """Fit every model to every data set of two columns, draw them, and return a table of gaps in Markdown.

    In ``out``: ``NAME.png`` for each data set (samples, density and latents of each model), ``wall.png`` with all densities, and
    ``table.md``. A figure is the gap to the data's entropy where that is known (toys, images), else the test nats per row.

    Arguments:
        models: names of recipes (their defaults), ``recipe:bins=16,train.lr=0.01``, or names of presets.
        data: what :func:`fit` takes, of two columns and no context.
        out: the directory of the pictures.
        time_limit: of training for each fit, in seconds or as "2m".
        seed: of weights and rows.
        progress: talk on stderr.

    Raises:
        ValueError: an unknown model, no models or data, or data that have not two columns.

    Example::

        >>> print(gallery(["real_nvp", "plane"], ["moons"], time_limit=20))
        | data | real_nvp | plane |
        |---|---|---|
        | moons | 0.014 | 0.005 |
    """
    if not models or not data:
        raise ValueError(f"gallery: expected at least one model and one data set, got models {list(models)} and data {list(data)}")
    chosen = {model: named(model) for model in models}
    read = [load_data(source, seed=seed) for source in data]
    for each in read:
        if each.schema.shape != (2,) or each.schema.context:
            raise ValueError(f"gallery: {each.name} has columns {[c.name for c in each.schema.columns]}; choose data of two columns")
    say: Callable[[str], None] = tell if progress else (lambda text: None)
    folder = Path(out)
    shown, lines = {}, ["| data | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for each in read:
        name, exhibits = Path(each.name).stem, []
        for model in models:
            flow, score, _ = fitted(each, chosen[model], time_limit=time_span(time_limit), seed=seed, progress=progress)
            gap = None if each.entropy is None else -each.entropy - score.nats
            exhibits.append(plots.Exhibit(model, flow, score.nats, gap))
            say(f"{name}, {exhibits[-1].title.replace(chr(10), ': ')}")
        x = each.test.x[:SHOWN].numpy()
        plots.save(plots.exhibition(name, x, each.schema.columns, exhibits), folder / f"{name}.png")
        shown[name] = (x, each.schema.columns, exhibits)
        lines.append(f"| {name} | " + " | ".join(f"{e.nats if e.gap is None else e.gap:.3f}" for e in exhibits) + " |")
    plots.save(plots.wall(shown), folder / "wall.png")
    table = "\n".join(lines)
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")
    return table


def named(model: str) -> dict[str, Any]:
    """Flat settings of ``recipe``, ``recipe:bins=16,train.lr=0.01`` or a preset.

    Raises:
        ValueError: it is none of these.
    """
    name, _, pairs = model.partition(":")
    if name in MODELS:
        given = signature.read_pairs(pairs.split(",")) if pairs else {}
        return {"model.name": name} | {key if "." in key else f"model.{key}": value for key, value in given.items()}
    presets = list_presets()
    if name not in presets:
        known = [*MODELS, *presets]
        raise ValueError(f"unknown model {model!r}{nearest(name, known) or ';'} models and presets are {', '.join(known)}")
    return read_preset(name)


def fitted(data: Data, settings: dict[str, Any], *, time_limit: float, seed: int, progress: bool) -> tuple[Any, Score, History]:
    """A flow by flat settings (but for their number of steps), trained for a time, with its score on the test rows."""
    name = settings["model.name"]
    given = {key: value for key, value in settings.items() if key not in ("model.name", "train.steps", "train.seed", "train.time_limit")}
    recipe, training = signature.parse_options(given, MODELS[name], train)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = build({"model": {"name": name} | signature.defaults(MODELS[name]) | recipe}, data.schema)
    history = train(flow, data.train, data.valid, **training, seed=seed, time_limit=time_limit, progress=progress)
    return flow, evaluate(flow, data.test, schema=data.schema, name=name, train_seconds=history.seconds), history
