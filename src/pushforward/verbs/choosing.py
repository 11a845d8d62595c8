"""Which model a fit takes: the one that was asked for, or one that suits the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import options as signature
from ..data import Data
from ..models import MODELS, TAUGHT_MODELS
from ..presets import read_preset
from ..subjects import subject_of
from ..words import nearest


def recommend(data: Data) -> tuple[str | None, str | None, str]:
    """A recipe or else a preset for these data, and a sentence that says why.

    Two columns or fewer get splines with many bins, since densities that are drawn have edges and thin arms; more columns get
    autoregressive splines whose nets grow with the number of training rows, and very many columns get couplings. Tables with
    categories or gaps get an any-order model. Of images, drawings get Flow++ and photographs Glow.

    Example::

        >>> recommend(load("wine"))[:2]
        (None, 'tiny_table')
    """
    return subject_of(data).recommend(data)


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
    if name in TAUGHT_MODELS:
        raise ValueError(f"fit: {name} learns from a teacher, not from data; fit wavenet with model.level=mixture, then distill it")
    if preset_model is not None and name != preset_model:
        raise ValueError(f"preset {preset}: is for the model {preset_model}, not {name}; leave one of the two out")
    settings = {k: v for k, v in settings.items() if k not in ("train.seed", "train.time_limit")}
    return name, settings | dict(options if isinstance(options, Mapping) else signature.read_pairs(options))
