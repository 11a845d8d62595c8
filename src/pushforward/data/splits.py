"""Which rows train, validate and test: shuffled, in the order of a column, or so that the rows of one value stay together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .cells import Cells, called, is_decimal, is_string
from .compute import pc
from .errors import DataError, shown
from .infer import infer
from .kinds import Constant
from .rows import Rows
from .toy import SIZES

RANDOM = "random"
TRAINING, KNOWN = 0.8, 0.9  # shares of the rows where training ends, and validation
REMEDY = "give validation and test rows of their own (fit --valid, fit --test)"


@dataclass(frozen=True)
class Units:
    """Rows by the value of a column, for splits of which none shares a value with another.

    Attributes:
        cells: of the column, none of them missing.
        turns: of each row the number of its value ``(N,)``; those of the lowest numbers train.
        ordered: whether numbers rise with the values.
    """

    cells: Cells
    turns: np.ndarray
    ordered: bool

    @classmethod
    def in_order(cls, cells: Cells) -> Units:
        """Of numbers or times, the least first.

        Raises:
            DataError: the values have no order, or there are fewer than three.
        """
        values = cells.plain
        if is_string(values.type):
            kind = infer(cells)
            if not (kind.support().ordered or isinstance(kind, Constant)):
                remedy = "give one of numbers or times, or keep its values together (fit --group)"
                raise DataError(f"{cells.where}: column {cells.name!r} holds words, which give rows no order (fit --split); {remedy}")
            values = pa.chunked_array([kind.encode(cells)])
        elif not (pa.types.is_temporal(values.type) or pa.types.is_primitive(values.type) or is_decimal(values.type)):
            remedy = "give one of numbers or times"
            raise DataError(f"{cells.where}: column {cells.name!r} holds {called(values.type)}, which gives rows no order; {remedy}")
        return cls(cells, _numbered(values), True).checked()

    @classmethod
    def grouped(cls, cells: Cells, seed: int) -> Units:
        """Of any values, shuffled; but those of more rows than a held-out split has train.

        Raises:
            DataError: there are fewer than three.
        """
        if pa.types.is_nested(cells.plain.type):
            remedy = "give one of numbers, times or words"
            raise DataError(f"{cells.where}: column {cells.name!r} holds {called(cells.dtype)}, whose values can't be told apart; {remedy}")
        codes = _numbered(cells.plain)
        counts = np.bincount(codes)
        order = np.random.default_rng(seed).permutation(len(counts))
        order = order[np.argsort(counts[order] <= (1 - KNOWN) * len(codes), kind="stable")]
        return cls(cells, np.argsort(order)[codes], False).checked()

    def checked(self) -> Units:
        """The units themselves, if there are enough of them."""
        count = int(self.turns.max()) + 1
        if count < 3:
            values = "one value" if count == 1 else f"{count} values"
            flag = "fit --split" if self.ordered else "fit --group"
            raise DataError(
                f"{self.cells.where}: column {self.cells.name!r} has {values}, too few for three splits; leave {flag} out, or {REMEDY}"
            )
        return self

    @property
    def ends(self) -> tuple[int, int]:
        """The first turns that validate and that test, where 80 and 90 % of the rows come before them as nearly as can be."""
        before = np.bincount(self.turns).cumsum()
        last = len(before) - 1
        first, second = (int(np.abs(before[:-1] - share * before[-1]).argmin()) + 1 for share in (TRAINING, KNOWN))
        first = min(first, last - 1)
        return first, min(max(second, first + 1), last)

    def parts(self, seed: int) -> list[np.ndarray]:
        """The numbers of the rows of each split, shuffled."""
        part = np.searchsorted(self.ends, self.turns, side="right")
        order = np.random.default_rng(seed).permutation(len(part))
        return [order[part[order] == i] for i in range(3)]

    def note(self, modelled: bool) -> str:
        """What was done, in a sentence or two."""
        name, (first, second) = self.cells.name, self.ends
        if self.ordered:
            until, later = (shown(self.cells.values[int((self.turns == end - 1).argmax())]) for end in (first, second))
            words = f"Split in the order of {name}: the rows up to {until} train, those up to {later} validate, the others test."
        else:
            counts = first, second - first, int(self.turns.max()) + 1 - second
            words = "Split by {}: {:,} of its values train, {:,} validate, {:,} test, none of them in two splits.".format(name, *counts)
        return words if modelled else f"{words} It is no part of the density (fit --columns or fit --context names it to be one)."


def split_rows(rows: Rows, seed: int | None, given: list[Rows | None], drawn: bool = False, units: Units | None = None) -> list[Rows]:
    """Train, validation and test rows; what is not given is cut off, a tenth of the rows each. Without a seed they stay in order."""
    n = len(rows)
    if units is not None and seed is not None:
        return [rows.pick(part) for part in units.parts(seed)]
    if drawn and given == [None, None]:
        ends = np.cumsum(SIZES).tolist()
        return [rows.pick(slice(start, end)) for start, end in zip([0, *ends], ends)]
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    cuts = given.count(None)
    ends = [n * (10 - cuts + i) // 10 for i in range(cuts + 1)]
    cut = [rows.pick(order[start:end]) for start, end in zip([0, *ends], ends)] if cuts else [rows]
    parts = iter(cut[1:])
    return [cut[0], *(part if part is not None else next(parts) for part in given)]


def _numbered(values: pa.ChunkedArray) -> np.ndarray:
    """The place of each value among the different ones, from 0."""
    values = values.cast(pa.float32()) if pa.types.is_float16(values.type) else values  # which can't be ranked
    return pc.rank(values, "ascending", tiebreaker="dense").to_numpy().astype(np.int64) - 1
