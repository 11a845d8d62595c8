"""What the runner asks of each library: a call that times itself. Nothing here needs torch or jax."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .resident import peak_of


@dataclass(frozen=True)
class Facts:
    """What shows that two models are of the same class.

    Attributes:
        parameters: numbers that are learned.
        flops: of the matrix products and convolutions of one log-likelihood, per row.
        remark: where the class differs from ours.
    """

    parameters: int
    flops: float
    remark: str = ""


class Contender(Protocol):
    """One library doing one work in one mode."""

    library: str
    mode: str

    def seconds(self) -> float:
        """One call; the first one also traces and compiles."""
        ...

    def peak(self) -> float | None:
        """Bytes that a call needs at its peak beyond what is held between calls."""
        ...


@dataclass
class Local:
    """A call in this process."""

    library: str
    mode: str
    call: Callable[[], object]

    def seconds(self) -> float:
        start = time.perf_counter()
        self.call()
        return time.perf_counter() - start

    def peak(self) -> float | None:
        return peak_of(self.call)
