"""Tables: rows of named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .. import latent, plots
from ..baselines import baselines
from ..core import Flow
from ..data import Column, Data, Reading, Rows, Schema, load, read
from ..data.context import context_rows
from ..data.request import Request
from ..evaluation import c2st, calibration, settled
from ..presets.recommend import for_mixed, for_table
from ..products import product_baselines
from .files import check_ending, number_of_rows, write_tables
from .scored import Scored
from .subject import Choice, Example, Subject
from .table_questions import completed, given_rows
from .table_scores import Asked, score_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pyarrow.dataset import Dataset

    from ..compression import Parcel, Unpacking
    from ..evaluation import Calibration, Score, TwoSample
    from ..plots import Picture
    from ..training import Run

ASKED = Asked()  # all columns
FEWEST_TO_TELL = 20  # rows on each side of a two-sample test


class TableSubject(Subject[Schema]):
    """Rows of named columns, each with a kind; samples and scores are tables."""

    reads = ("columns", "exclude", "context", "kinds", "missing", "reading", "seed", "split", "group", "weight", "valid", "test")
    foreign = "and this is a table"
    noun = "a table"
    plural = "tables"
    purpose = "asks about columns, so give a run of a table"
    nowhere = ""
    example = Example("TABLE.parquet", "mine.parquet", 1000, "samples.parquet")

    @classmethod
    def read(cls, request: Request, schema: Schema | None = None) -> Data:
        given = request.arguments(cls.reads)
        return load(request.source, **given | {"reading": Reading.of(request.reading)}, schema=schema)

    @classmethod
    def foreseen(cls, request: Request) -> None:
        return None

    @property
    def columns(self) -> list[Column]:
        return self.schema.columns

    def words(self) -> list[str]:
        modelled = [f"{column.name} ({'discrete' if column.discrete else 'continuous'})" for column in self.schema.columns]
        return [*modelled, *(f"given {column.name}" for column in self.schema.context)]

    def rows(self, data: Any, request: Request) -> Rows:
        source = read(data, Reading.of(request.reading))
        if request.missing == "drop":
            absent = self.schema.missing(source)
            if absent.all():
                raise ValueError(f"{source.name}: every row has missing values in the columns of the run; give complete rows")
            source = replace(source, table=source.table.filter(pa.array(~absent)))
        x, context = self.schema.encode(source)
        if request.weight is None or request.weight not in source.table.column_names:
            return Rows(x, context)
        return Rows(x, context, Schema([Column(request.weight)]).encode(source.table)[0][:, 0])

    def recoded(self, rows: Rows, schema: Schema) -> Rows:
        x, context = self.schema.encode(rows.to_table(schema))
        return Rows(x, context, rows.weight)

    def recommend(self, data: Data) -> Choice:
        rows, columns = len(data.train), len(self.schema.columns)
        preset, why = for_mixed(rows) if self.schema.mixed else for_table(rows, columns)
        if self.schema.image and preset == "fast_sampling":
            preset = "pixels"
        size = f"{rows:,} training rows of {columns} column{'s' * (columns != 1)}"
        discrete = sum(column.discrete for column in self.schema.columns)
        note = f"; {discrete} of them whole numbers, so likelihoods are lower bounds" if discrete and not self.schema.mixed else ""
        return None, preset, f"chosen for {size}{note}: preset {preset}, {why} (--model or --preset choose others)"

    def options(self, data: Data) -> dict[str, Any]:
        return {}

    def watch(self, folder: Path, rows: Rows) -> None:
        return None

    def baselines(self, data: Data, samples: int) -> list[Score]:
        return product_baselines(data) if self.schema.mixed else baselines(data, self.schema.layers(), samples=samples)

    @property
    def alone(self) -> str:
        return ""

    def two_sample(self, flow: Flow, rows: Rows) -> TwoSample | None:
        categories = [i for i, column in enumerate(self.schema.columns) if column.vocabulary is not None]
        if any(column.kind.support().ignorable for column in self.schema.columns):  # samples have no gaps
            rows = Rows(completed(flow, rows.x, ~rows.x.isnan(), rows.context, 0), rows.context, rows.weight)
        return c2st(flow, rows, categories=categories) if len(rows) >= FEWEST_TO_TELL else None

    def calibration(self, flow: Flow, rows: Rows) -> Calibration | None:
        supports = [column.kind.support() for column in self.schema.columns]
        return calibration(flow, rows, self.schema.names, supports=supports)

    def figures(self, run: Run, data: Data, scores: Sequence[Score], ranked: Calibration | None) -> list[Picture]:
        with settled(run.flow, 0):
            return [
                *plots.training_pictures(run, data.entropy, scores),
                *plots.table_figures(run.flow, data, ranked),
                *plots.latent_figures(run.flow, data.test),
            ]

    def beside(self, x: np.ndarray, samples: Mapping[str, np.ndarray]) -> Figure:
        return plots.tables_beside(x, samples, self.schema.columns)

    def sample(self, run: Run, n: int, out: str | Path | None, *, context: Any, temperature: Sequence[float], seed: int) -> pa.Table:
        if len(temperature) != 1:
            raise ValueError(f"sample: expected one temperature for a table, got {len(temperature)}; draw one table for each")
        if out is not None:
            check_ending("sample", Path(out))
        given = context_rows(self.schema, context)
        flow = run.flow
        if temperature[0] != 1:
            x = latent.sample(flow, n, temperature[0], given, seed=seed)
        else:
            with settled(flow, seed):
                x = flow.sample((n,), given)
        if given is None:
            table = self.schema.decode(x)
        else:
            x = x.transpose(0, 1).flatten(0, 1)  # (n, C, D) -> (C * n, D): one context after the other
            table = self.schema.decode_context(given.repeat_interleave(n, 0))
            samples = self.schema.decode(x)
            for name in samples.column_names:
                table = table.append_column(name, samples[name])
        if out is not None:
            write_tables(Path(out), [table])
        return table

    def sample_given(self, run: Run, n: int, out: str | Path | None, *, given: Any, context: Any, seed: int) -> pa.Table:
        """``n`` rows of all columns for each row of values that some columns are given."""
        if out is not None:
            check_ending("sample", Path(out))
        x, known = given_rows("sample", self.schema, given)
        c = context_rows(self.schema, context)
        if c is not None and len(c) not in (1, len(x)):
            raise ValueError(f"sample: expected one context, or one for each of {len(x):,} given rows, got {len(c):,}")
        c = None if c is None else c.expand(len(x), -1).repeat_interleave(n, 0)
        rows = completed(run.flow, x.repeat_interleave(n, 0), known.repeat_interleave(n, 0), c, seed, gaps=True)
        table = self.schema.decode(rows)
        if out is not None:
            write_tables(Path(out), [table])
        return table

    def told(self, samples: pa.Table | Dataset, out: Path, at: str) -> str:
        return f"{number_of_rows(samples):,} samples in {out}"

    def parcel(self, run: Run, data: Any) -> Parcel:
        from .table_parcel import TableParcel

        return TableParcel(run.flow, self.schema, data, Reading.of(run.request.reading))

    def unpacking(self, described: dict[str, Any]) -> Unpacking:
        from .table_parcel import TableUnpacking

        return TableUnpacking(self.schema, described)

    def score(
        self, run: Run, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, asked: Asked = ASKED, **options: int
    ) -> Scored:
        if figure is not None:
            raise ValueError(f"score: a figure shows images, and {run.path} was fitted to a table; leave it out")
        return score_table(run, self.schema, data, out, quantiles, asked, **options)
