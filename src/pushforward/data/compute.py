"""pyarrow's functions of columns, loaded when the first is called: they take a tenth of the time of a start."""

from __future__ import annotations

from ..lazy import lazily

pc = lazily("pyarrow.compute")
