"""What a run says of itself in config.toml, checked when it is read: a run directory may come from a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat
from typing_extensions import TypedDict

from ..documents import read_toml, validated
from ..models import MODELS
from ..options import parse_table
from ..words import listing, nearest
from .fit import fit

Place = str | list[str] | None
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


class DataTable(TypedDict, total=False):
    """How the data were read."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    source: Place
    name: str
    columns: list[str]
    context: list[str]
    kinds: dict[str, str]
    missing: Literal["error", "drop", "keep", "ignore"]
    seed: Count
    split: str
    group: str
    weight: str
    bits: Annotated[int, Field(ge=1, le=16)]
    size: Count | list[Count]
    crop: str | int
    gray: bool
    window: Count
    companding: Literal["mu-law", "linear"]
    sound: str
    reading: dict[str, Any]
    valid: Place
    test: Place


class DistillTable(TypedDict, total=False):
    """Of a student."""

    teacher: str
    rows: Count
    kl: FiniteFloat
    power: FiniteFloat


class StartTable(TypedDict, total=False):
    """Of a run that began with another's weights."""

    run: str


class TrainTable(TypedDict, total=False):
    """Of the training, beside the options of ``fit``."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    seed: Count
    time_limit: Positive


class Tables(TypedDict, total=False):
    """A config.toml."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    data: DataTable
    model: dict[str, Any]
    train: TrainTable
    distill: DistillTable
    start: StartTable


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """A run's config.toml: each table of the right types, each option one that the recipe or ``fit`` has.

    Raises:
        ValueError: what is wrong, and where.
    """
    config = {"data": {}, "train": {}} | read_toml(path)
    validated(Tables, config, str(path), strict=True)
    name = config.get("model", {}).get("name")
    if not isinstance(name, str) or name not in MODELS:
        hint = nearest(name, MODELS) if isinstance(name, str) else ""
        raise ValueError(f"{path}: expected model.name to be one of {listing(MODELS, 100)}, got {name!r:.60}{hint}")
    own = {key: config["train"][key] for key in ("seed", "time_limit") if key in config["train"]}
    try:
        model = parse_table("model", {key: value for key, value in config["model"].items() if key != "name"}, MODELS[name])
        train = parse_table("train", {key: value for key, value in config["train"].items() if key not in own}, fit)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return config | {"model": {"name": name} | model, "train": train | own}
