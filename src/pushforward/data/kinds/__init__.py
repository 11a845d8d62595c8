"""Kinds of columns: what values mean, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...documents import validated
from ..errors import DataError
from .base import Kind, Statistics, Support
from .category import Category
from .constant import Constant
from .decimal import DecimalGrid
from .identifier import identifies
from .integer import Integer
from .interval import Interval
from .maybe import Maybe
from .periodic import Periodic
from .positive import NonNegative
from .real import Real
from .time import Time

KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (Constant, Time, Category, DecimalGrid, Integer, Interval, NonNegative, Real, Periodic, Maybe)
}  # in the order in which they are tried on values


def kind_from_json(value: Any) -> Kind:
    """The kind that ``to_json`` described.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, Mapping) or value.get("kind") not in KINDS:
        raise DataError(f"expected a kind among {', '.join(KINDS)}, got {value!r:.60}")
    fields = {key: item for key, item in value.items() if key != "kind"}
    if "of" in fields:
        fields["of"] = kind_from_json(fields["of"])
    return validated(KINDS[value["kind"]], fields, f"kind {value['kind']}")


__all__ = [
    "KINDS",
    "Category",
    "Constant",
    "DecimalGrid",
    "Integer",
    "Interval",
    "Kind",
    "Maybe",
    "Periodic",
    "NonNegative",
    "Real",
    "Statistics",
    "Support",
    "Time",
    "identifies",
    "kind_from_json",
]
