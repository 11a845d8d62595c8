"""Columns as they were written down before kinds were objects: one flat record each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import DataError

UNITS = {86_400: "day", 3_600: "hour", 60: "minute", 1: "s"}
SEEN = ("mean", "std", "scale", "minimum", "maximum", "distinct")


def renewed(old: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of such a record, as :func:`kind_from_json` takes it; numbers are encoded as they were then.

    Raises:
        DataError: it is none.
    """
    known = {"dtype": old.get("dtype", "double"), "seen": {name: old[name] for name in SEEN if name in old}}
    match old["kind"]:
        case "real" | "constant":
            return {"kind": "real"} | known
        case "positive":
            return {"kind": "positive"} | known
        case "interval":
            return {"kind": "interval", "low": old.get("low"), "high": old.get("high")} | known
        case "integer":
            levels = old.get("levels")
            return {"kind": "integer", "low": None if levels is None else 0, "high": None if levels is None else levels - 1} | known
        case "text":
            return {"kind": "category", "vocabulary": old.get("vocabulary") or ()} | known
        case "time":
            whole = known["dtype"] in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
            return {
                "kind": "time",
                "unit": UNITS.get(old.get("step", 1)),
                "written": "s" if whole else old.get("format"),
                "cut": True,
            } | known
        case other:
            raise DataError(f"expected the kind of a column, got {other!r:.60}")
