"""What kind of column it is: from its values, or as the user declares it."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import cast

import pyarrow as pa

from ..words import listing, nearest
from .cells import Cells, called
from .compute import pc
from .errors import DataError, leaving_out
from .kinds import KINDS, Category, Constant, DecimalGrid, Integer, Interval, Kind, NonNegative, Periodic, Real, Time, identifies
from .kinds.counted import Counted

DECLARABLE = {"real": "", "integer": "", "positive": "", "interval": ":LOW:HIGH", "grid": ":STEP", "category": "", "time": "",
         "periodic": ":LOW:HIGH", "constant": "", "identifier": ""}  # fmt: skip
OLD = {"text": "category"}
HIDDEN = "identifier"  # declared so, a column is left out


def infer(cells: Cells, declared: str | None = None) -> Kind:
    """The kind that these cells (none of them absent) make, or that ``declared`` says: see :data:`DECLARABLE`.

    Raises:
        DataError: the kind is unknown or does not fit the values.
    """
    if declared:
        return _declared(cells, *parse(declared, cells.name, cells.where))
    if not _readable(cells.dtype):
        raise DataError(
            f"{cells.where}: column {cells.name!r} holds {called(cells.dtype)}, which is neither number nor time nor text; "
            f"{leaving_out([cells.name])}"
        )
    return next(kind for kind in (kind.infer(cells) for kind in KINDS.values()) if kind is not None)


def parse(declared: str, name: str, where: str) -> tuple[str, list[str]]:
    """``interval:0:5`` as ``("interval", ["0", "5"])``, checked."""
    kind, *ends = declared.split(":")
    kind = OLD.get(kind, kind)
    if kind not in DECLARABLE:
        raise DataError(
            f"{where}: unknown kind {kind!r} for column {name!r}{nearest(kind, DECLARABLE)}; the kinds are {listing(DECLARABLE, 20)}"
        )
    expected, numbers = DECLARABLE[kind], [math.nan]
    with suppress(ValueError, InvalidOperation):
        numbers = [float(Decimal(end)) for end in ends]
    two = expected == ":LOW:HIGH" and len(numbers) == 2 and -math.inf < numbers[0] < numbers[1] < math.inf
    one = expected == ":STEP" and len(numbers) == 1 and 0 < numbers[0] < math.inf
    if not (two or one or (not ends and kind != "periodic")):
        example = {":LOW:HIGH": f"{kind}:0:100, LOW below HIGH", ":STEP": "grid:0.01, a decimal above 0"}.get(expected, kind)
        raise DataError(f"{where}: can't read the kind {declared!r} of column {name!r}; write {kind}{expected}, as {example}")
    return kind, ends


def role(cells: Cells, declared: str | None) -> str:
    """What a column is that nobody chose: ``data``, ``identifier``, or ``unreadable`` if nothing can be read from it."""
    if declared is not None:
        return HIDDEN if parse(declared, cells.name, cells.where)[0] == HIDDEN else "data"
    if not _readable(cells.dtype) or cells.values.null_count == len(cells):
        return "unreadable"
    return HIDDEN if identifies(cells.present()) else "data"


def _readable(dtype: pa.DataType) -> bool:
    plain = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return Cells(pa.chunked_array([], plain), "", "").numeric or (pa.types.is_temporal(plain) and not pa.types.is_interval(plain))


def _declared(cells: Cells, kind: str, ends: list[str]) -> Kind:
    dtype = cells.dtype
    if pa.types.is_temporal(dtype) and kind not in ("time", "category", "constant"):
        raise DataError(f"{cells.where}: column {cells.name!r} holds {dtype}, which can't be of the kind {kind!r}; declare 'time'")
    match kind:
        case "time":
            return Time.of(cells)
        case "category":
            return Category.of(cells)
        case "constant":
            found = Constant.infer(cells)
            if found is None:
                count = len(pc.unique(cells.plain))
                raise DataError(f"{cells.where}: column {cells.name!r} was declared constant and has {count:,} values; leave the kind out")
            return found
        case "grid":
            return DecimalGrid.of(cells, ends[0] if ends else None)
        case "integer":
            return Integer.of(cells, *_ends(cells))
        case "real":
            return Real.infer(cells)
        case "identifier":
            raise DataError(f"{cells.where}: column {cells.name!r} was declared identifier, which is no data; {leaving_out([cells.name])}")
    return _bounded(cells, kind, [float(end) for end in ends] or [0.0, 1.0])


def _bounded(cells: Cells, kind: str, ends: list[float]) -> Kind:
    """Positive, interval and periodic numbers; those that are whole or on a grid stay so."""
    grid = Integer.of(cells) if cells.whole is not None else DecimalGrid.infer(cells)
    if kind == "positive":
        if grid is None:
            return NonNegative.of(cells)
        return _within(grid, 0.0 if (cells.numbers == 0).any() else 1.0, None)
    low, high = ends
    if grid is None:
        return Interval.of(cells, low, high) if kind == "interval" else Periodic.of(cells, low, high)
    first, last = math.ceil(low / grid.step), math.floor(high / grid.step)
    turn = kind == "periodic" and last * grid.step == high and not (cells.numbers == high).any()  # the end is the beginning
    return _within(grid, float(first), float(last - turn))


def _within(grid: Integer | DecimalGrid, low: float, high: float | None) -> Kind:
    if isinstance(grid, Integer):
        return Integer(dtype=grid.dtype, low=low, high=high)
    return DecimalGrid(dtype=grid.dtype, unit=grid.unit, digits=grid.digits, low=low, high=high)


def _ends(cells: Cells) -> tuple[float | None, float | None]:
    found = Integer.infer(cells)
    return cast("Counted", found).ends if found else (None, None)
