"""What is asked of a run, shard by shard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ..data.formats import ROWS_AT_ONCE
from ..subjects import Scored, TableSubject
from ..subjects.table_questions import imputed, predicted
from ..subjects.table_scores import Asked, scored_tables
from ..training import Run
from ..training.schedule import derive_seed
from .shards import Shard


@dataclass(frozen=True)
class Operation(ABC):
    """A verb with its options: a pure function of a run and a shard. Random numbers are derived from the seed and the shard's place."""

    verb: ClassVar[str]

    @abstractmethod
    def tables(self, run: Run, subject: TableSubject, shard: Shard) -> Iterator[pa.Table]:
        """The answer, some rows at a time, all of one schema."""

    def to_json(self) -> dict[str, Any]:
        return {"verb": self.verb, **asdict(self)}


@dataclass(frozen=True)
class Scoring(Operation):
    """:func:`pushforward.score`; ``quantiles`` are those of the training rows' log-likelihoods."""

    verb = "score"
    quantiles: tuple[float, ...]
    samples: int = 1
    batch: int = 8192
    seed: int = 0
    columns: tuple[str, ...] | None = None
    given: tuple[str, ...] = ()

    def tables(self, run: Run, subject: TableSubject, shard: Shard) -> Iterator[pa.Table]:
        options = {"samples": self.samples, "batch": self.batch, "seed": _seed(self.seed, shard.name)}
        asked = Asked(self.columns, self.given)
        return scored_tables(run, subject.schema, shard.sources(), np.asarray(self.quantiles), Scored(None), asked, True, options)


@dataclass(frozen=True)
class Imputation(Operation):
    """:func:`pushforward.impute`."""

    verb = "impute"
    draws: int = 1
    how: str = "draw"
    seed: int = 0

    def tables(self, run: Run, subject: TableSubject, shard: Shard) -> Iterator[pa.Table]:
        for i, source in enumerate(shard.sources()):
            yield imputed(run.flow, subject.schema, source, self.draws, self.how, _seed(self.seed, shard.name, i))


@dataclass(frozen=True)
class Prediction(Operation):
    """:func:`pushforward.predict`."""

    verb = "predict"
    column: str
    levels: tuple[float, ...]
    seed: int = 0

    def tables(self, run: Run, subject: TableSubject, shard: Shard) -> Iterator[pa.Table]:
        for i, source in enumerate(shard.sources()):
            yield predicted(run.flow, subject.schema, source, self.column, self.levels, _seed(self.seed, shard.name, i))


@dataclass(frozen=True)
class Sampling(Operation):
    """:func:`pushforward.sample`."""

    verb = "sample"
    seed: int
    context: Mapping[str, Any] | None = None
    temperature: Sequence[float] = (1.0,)

    def tables(self, run: Run, subject: TableSubject, shard: Shard) -> Iterator[pa.Table]:
        for start in range(0, shard.rows, ROWS_AT_ONCE):
            n, seed = min(ROWS_AT_ONCE, shard.rows - start), _seed(self.seed, shard.first + start)
            yield subject.sample(run, n, None, context=self.context, temperature=self.temperature, seed=seed)


def _seed(*parts: int | str) -> int:
    """Within what every generator takes."""
    return derive_seed(*parts) % 2**32
