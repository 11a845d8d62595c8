"""Categories: text, truth values, dictionaries, and numbers of which there are few."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ...words import nearest
from ..cells import NUMBER, Cells, is_string, padded, strings
from ..compute import pc
from ..errors import DataError
from ..restore import arrow_type
from .base import Support
from .counted import PER_LEVEL, Counted

NUMBERS_MOST = 16  # values of a column of numbers that are no grid, yet few


@dataclass(frozen=True, kw_only=True)
class Category(Counted):
    """One of some values, encoded as its place among them.

    Attributes:
        vocabulary: the values as text, in their order if they have one, else sorted.
        ordered: whether a later one means more.
    """

    name: ClassVar[str] = "category"
    vocabulary: tuple[str, ...] = ()
    ordered: bool = False

    @classmethod
    def infer(cls, cells: Cells) -> Category | None:
        """Dictionaries, truth values, text (in data no numbers but codes, as 007), and two or a few numbers far apart."""
        dtype = cells.dtype
        if pa.types.is_dictionary(dtype) or pa.types.is_boolean(dtype):
            return cls.of(cells)
        if is_string(dtype):
            numbers = pc.mean(pc.match_substring_regex(cells.values, NUMBER).cast(pa.float64())).as_py() or 0
            return cls.of(cells) if cells.context or numbers <= 0.5 or padded(cells.values) else None
        if not cells.numeric:
            return None
        values = cells.distinct[0]
        if len(values) == 2:
            return None if cells.whole is not None and values[1] - values[0] == 1 else cls.of(cells)
        few = len(values) <= NUMBERS_MOST and len(cells) >= PER_LEVEL * len(values)
        return cls.of(cells) if few and cells.decimals is None and cells.whole is None else None

    @classmethod
    def of(cls, cells: Cells) -> Category:
        """As it was declared."""
        dtype, values = cells.dtype, cells.plain
        ordered = not (is_string(values.type) or pa.types.is_boolean(values.type) or pa.types.is_dictionary(dtype))
        if pa.types.is_dictionary(dtype) and dtype.ordered:
            found = cells.values.unify_dictionaries().chunk(0).dictionary
            ordered = True
        elif pa.types.is_boolean(dtype):
            found = pa.array([False, True])
        else:
            found = pc.unique(values)
            found = found.take(pc.array_sort_indices(found.cast(pa.float32()) if pa.types.is_float16(found.type) else found))
        words = strings(found).to_pylist()
        return cls(dtype=str(dtype), vocabulary=tuple(words if ordered or not is_string(values.type) else sorted(words)), ordered=ordered)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.vocabulary

    @property
    def ends(self) -> tuple[float, float]:
        return 0.0, len(self.vocabulary) - 1.0

    def support(self) -> Support:
        return replace(super().support(), ordered=self.ordered)

    def encode(self, cells: Cells) -> np.ndarray:
        values, own = cells.plain, self._type()
        truth = not pa.types.is_boolean(own) or (cells.numeric and np.isin(cells.numbers, (0, 1)).all())
        if values.type != own and not is_string(own) and truth:
            with suppress(pa.ArrowException):  # else it is no value of the column, and named as such
                values = values.cast(own)
        codes = pc.index_in(strings(values), value_set=pa.array(self.vocabulary, pa.string())).to_numpy().astype(np.float64)
        unseen = np.isnan(codes)
        if unseen.any():
            close = nearest(str(values[int(unseen.argmax())].as_py()), self.vocabulary)
            cells.refuse(unseen, f"a value that was not there in training{close or '; use one of those that were'}")
        return codes

    def decode(self, x: np.ndarray) -> pa.Array:
        missing = ~np.isfinite(x)
        codes = pa.array(np.where(missing, 0, self.kept(x)).astype(np.int64), mask=missing)
        words, dtype = pa.array(self.vocabulary, pa.string()).cast(self._type()), arrow_type(self.dtype)
        if not pa.types.is_dictionary(dtype):
            return words.take(codes)
        return pa.DictionaryArray.from_arrays(codes.cast(dtype.index_type), words, ordered=dtype.ordered)

    def shown(self, x: float) -> str:
        return self.vocabulary[int(self.kept(np.array([x]))[0])]

    def words(self) -> str:
        return f"{'ordered ' * self.ordered}categories, {len(self.vocabulary):,} values"

    def check(self) -> None:
        super().check()
        if not self.vocabulary or len(set(self.vocabulary)) < len(self.vocabulary):
            raise DataError("expected the values of a column of categories, each once")

    def _type(self) -> pa.DataType:
        """The type of a value."""
        dtype = arrow_type(self.dtype)
        return dtype.value_type if pa.types.is_dictionary(dtype) else dtype
