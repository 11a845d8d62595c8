"""Any real number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..cells import Cells
from .base import Support
from .decimal import digits_of
from .measured import Measured, float_dtype


@dataclass(frozen=True, kw_only=True)
class Real(Measured):
    """Any number: a density on the line."""

    name: ClassVar[str] = "real"

    @classmethod
    def infer(cls, cells: Cells) -> Real:
        return cls(dtype=float_dtype(cells), digits=digits_of(cells))

    def support(self) -> Support:
        return Support(ordered=True, whole=False)

    def words(self) -> str:
        return "real numbers" if not self.digits else f"real numbers, written with {self.digits} decimal{'s' * (self.digits > 1)}"
