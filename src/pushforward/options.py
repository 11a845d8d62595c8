"""What users type: options looked up in signatures (``model.steps=8`` in the recipe's keyword-only arguments)."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .words import nearest

# Arguments that are not options: a recipe's context and levels come from the data; fit's run, clock and seed have flags of their own.
RESERVED = frozenset({"context", "levels", "loss", "initialize", "run", "resume", "progress", "watch", "seed", "time_limit"})


@dataclass(frozen=True)
class Option:
    """One keyword-only argument: its type as written, what checks a value, and its default."""

    type: str
    adapter: TypeAdapter[Any]
    default: Any


def options_of(function: Callable[..., Any]) -> dict[str, Option]:
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
    return {name: option.default for name, option in options_of(function).items()}


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


def parse_options(
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

        >>> parse_options(["model.steps=8", "train.lr=1e-3"], models.nsf, training.fit)
        ({'steps': 8}, {'lr': 0.001})
    """
    settings = pairs if isinstance(pairs, Mapping) else read_pairs(pairs)
    rooms = {"model": options_of(model), "train": options_of(fit)}
    known = [f"{room}.{name}" for room, options in rooms.items() for name in options]
    tables: dict[str, dict[str, Any]] = {room: {} for room in rooms}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(_unknown(name, known, model.__name__))
        room, _, option = name.partition(".")
        tables[room][option] = value
    return parse_table("model", tables["model"], model), parse_table("train", tables["train"], fit)


def parse_table(room: str, values: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """One table of options, ``model`` or ``train``, checked likewise.

    Raises:
        ValueError: an unknown name or a value of the wrong type.
    """
    options = options_of(function)
    known = [f"{room}.{name}" for name in options]
    for name in values:
        if name not in options:
            raise ValueError(_unknown(f"{room}.{name}", known, function.__name__))
    return {name: _checked(f"{room}.{name}", value, options[name]) for name, value in values.items()}


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
        raise ValueError(f"option {name}: expected {option.type}, got {value!r:.100}: {reason[0].lower()}{reason[1:]}") from None
