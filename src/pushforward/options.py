"""What users type: options looked up in signatures (``model.steps=8`` in the recipe's keyword-only arguments), and values of flags."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .data.errors import nearest

# Arguments that are not options: a recipe's context and levels come from the data; fit's run, clock and seed have flags of their own.
RESERVED = frozenset({"context", "levels", "objective", "run", "resume", "progress", "watch", "seed", "time_limit"})


@dataclass(frozen=True)
class Option:
    """One keyword-only argument: its type as written, what checks a value, and its default."""

    type: str
    adapter: TypeAdapter[Any]
    default: Any


def describe(function: Callable[..., Any]) -> dict[str, Option]:
    """The options of a recipe or of ``fit``: its keyword-only arguments, by name, in order."""
    options = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in RESERVED:
            kind = parameter.annotation
            if isinstance(kind, str):
                kind = eval(kind, function.__globals__)  # one at a time: other annotations may name what only type checkers import
            options[parameter.name] = Option(inspect.formatannotation(kind), TypeAdapter(kind), parameter.default)
    return options


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The options' default values."""
    return {name: option.default for name, option in describe(function).items()}


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """``["model.steps=8", "model.kind=coupling"]`` to ``{"model.steps": 8, "model.kind": "coupling"}``.

    Values are TOML; what is not TOML is a bare word, a string.

    Raises:
        ValueError: a pair without ``=``.
    """
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"options: expected name=value, as in train.lr=1e-3, got {pair!r}")
        try:
            settings[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name.strip()] = text.strip()
    return settings


def read_preset(path: str | Path) -> dict[str, Any]:
    """A preset file, or the config.toml of a run, as flat settings ``{"model.name": "nsf", "train.lr": 1e-3}``.

    Raises:
        ValueError: not TOML, or a table other than ``model`` and ``train`` (a run's ``data`` and ``distill`` are passed over).
    """
    try:
        tables = tomllib.loads(Path(path).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"preset {path}: not a TOML file: {error}") from None
    for table, values in tables.items():
        if table not in ("model", "train", "data", "distill") or not isinstance(values, dict):
            raise ValueError(
                f"preset {path}: expected settings like model.steps = 8 or train.lr = 1e-3, got {table}{nearest(table, ['model', 'train'])}"
            )
    return {f"{table}.{name}": value for table in ("model", "train") for name, value in tables.get(table, {}).items()}


def parse(
    pairs: Sequence[str] | Mapping[str, Any],
    model: Callable[..., Any],
    fit: Callable[..., Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ``model.*`` and the ``train.*`` options that were given, checked; those not given are left out.

    Arguments:
        pairs: ``["model.steps=8", "train.lr=1e-3"]``, or a mapping with such names.
        model: the recipe; its keyword-only arguments are the ``model.*`` options.
        fit: the training loop, likewise for ``train.*``.

    Raises:
        ValueError: an unknown name (the nearest one is suggested) or a value of the wrong type.

    Example::

        >>> parse(["model.steps=8", "train.lr=1e-3"], models.nsf, training.fit)
        ({'steps': 8}, {'lr': 0.001})
    """
    settings = pairs if isinstance(pairs, Mapping) else read_pairs(pairs)
    rooms = {"model": describe(model), "train": describe(fit)}
    known = [f"{room}.{name}" for room, options in rooms.items() for name in options]
    chosen: dict[str, dict[str, Any]] = {room: {} for room in rooms}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(_unknown(name, known, model.__name__))
        room, _, option = name.partition(".")
        chosen[room][option] = _checked(name, value, rooms[room][option])
    return chosen["model"], chosen["train"]


def _unknown(name: str, known: list[str], model: str) -> str:
    room, dot, rest = name.partition(".")
    elsewhere = [choice for choice in known if choice.partition(".")[2] == (rest if dot else name)]
    hint = f"; did you mean {elsewhere[0]!r}?" if elsewhere else nearest(name, known)
    owner = "fit" if room == "train" else model
    takes = ", ".join(choice for choice in known if choice.startswith("train." if room == "train" else "model."))
    return f"unknown option {name}{hint or ';'} {owner} takes {takes or 'no options'}"


def _checked(name: str, value: Any, option: Option) -> Any:
    if isinstance(value, str) and value.lower() == "none" and option.default is None:
        return None
    try:
        checked = option.adapter.validate_python(value, strict=isinstance(value, bool))  # lax, but `true` is not a number
        if isinstance(checked, int) and checked < 0:  # whole numbers are counts: steps, widths, bins
            raise ValueError(f"option {name}: expected a count of at least 0, got {value}")
        return checked
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ValueError(f"option {name}: expected {option.type}, got {value!r}: {reason[0].lower()}{reason[1:]}") from None


def names(values: list[str] | None) -> list[str] | None:
    """``a,b,c``, or the option repeated, as a list."""
    return None if values is None else [name.strip() for value in values for name in value.split(",") if name.strip()]


def kinds(values: list[str] | None) -> dict[str, str] | None:
    """``["price=positive"]`` as a mapping."""
    found = {}
    for value in values or []:
        name, equals, kind = value.rpartition("=")
        if not equals:
            raise ValueError(f"--kind: expected NAME=KIND, as price=positive, got {value!r}")
        found[name] = kind
    return found or None


def conditions(values: list[str] | None) -> dict[str, list[str]] | str | None:
    """``["origin=EWR,JFK", "hour=12"]`` as a mapping to lists of values; one value without ``=`` is a file."""
    if values is None:
        return None
    if len(values) == 1 and "=" not in values[0]:
        return values[0]
    pairs = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals:
            raise ValueError(f"--context: expected NAME=VALUE, as origin=JFK, got {value!r}")
        pairs[name] = rest.split(",")
    return pairs


def figures(flag: str, text: str) -> list[float]:
    """``0.5,0.7,1`` as numbers.

    Raises:
        ValueError: one of them is none; ``flag`` says where.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{flag}: expected numbers separated by commas, as 0.5,0.7,1, got {text!r}") from None


def counts(flag: str, text: str | None) -> list[int]:
    """``3,17`` as rows; none without a text.

    Raises:
        ValueError: one of them is none; ``flag`` says where.
    """
    parts = text.split(",") if text else []
    if not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"{flag}: expected rows separated by commas, as 3,17, got {text!r}")
    return [int(part) for part in parts]


def pairs(flag: str, text: str | None) -> list[tuple[int, int]]:
    """``3:17,4:20`` as pairs of rows.

    Raises:
        ValueError: something else is written; ``flag`` says where.
    """
    found = []
    for part in (text or "").split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+):(\d+)\s*", part)
        if not match:
            raise ValueError(f"{flag}: expected pairs of rows, as 3:17,4:20, got {text!r}")
        found.append((int(match[1]), int(match[2])))
    return found


def pixels(text: str | None) -> int | tuple[int, int] | None:
    """``32``, or ``48x64`` as height and width."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text.strip())
    if not match:
        raise ValueError(f"--size: expected pixels, as 32, or height and width, as 48x64, got {text!r}")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


def duration(text: str) -> float:
    """``90``, ``90s``, ``2m``, ``1h30m`` as seconds."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    seconds = sum(float(part or 0) * scale for part, scale in zip(match.groups(), (3600, 60, 1))) if match else 0.0
    if not seconds > 0:
        raise ValueError(f"--time-limit: expected a time such as 90s, 2m or 1h30m, got {text!r}")
    return seconds
