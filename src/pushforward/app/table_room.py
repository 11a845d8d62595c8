"""What the page asks of a run of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure

from ..data import Column, Schema
from ..data.context import context_rows
from ..data.kinds import Kind
from ..evaluation import settled
from ..plots import pixels_of
from ..plots.style import figure, style
from ..questions import questions
from ..subjects.scored import rank
from ..subjects.table_questions import given_rows
from ..training import Run
from ..verbs.runs import data_of, read_results
from ..verbs.sampling import sample
from ..verbs.scoring import score

MOST_COLUMNS = 40  # that get a field
MOST_CHOICES = 60  # of a field that is a list
BARS = 30  # of a category
SHOWN_SAMPLES = 200  # samples in the table


class TableRoom:
    """Conditionals, samples and scores of one run; fields are text as a person writes it, an empty one says nothing."""

    def __init__(self, run: Run, schema: Schema):
        self.run, self.schema, self.flow = run, schema, run.flow

    @property
    def columns(self) -> list[Column]:
        """Those of the data, and then those that the run is conditioned on."""
        return [*self.schema.columns, *self.schema.context][:MOST_COLUMNS]

    @cached_property
    def examples(self) -> list[dict[str, str]]:
        """Rows of the test split as text; none where the data can't be read again."""
        try:
            rows = data_of(self.run).test.pick(slice(0, 50))
        except (ValueError, OSError):
            return []
        numbers = rows.x if rows.context is None else torch.cat([rows.x, rows.context], 1)
        columns = [*self.schema.columns, *self.schema.context]
        return [{column.name: _text(column, x) for column, x in zip(columns, row, strict=True)} for row in numbers.tolist()]

    def choices(self, column: Column) -> list[str] | None:
        """What a field may hold, where that is a short list."""
        words = column.vocabulary
        return list(words) if words and len(words) <= MOST_CHOICES else None

    def _split(self, fields: Mapping[str, str], without: str | None = None) -> tuple[dict[str, list[str]], dict[str, list[str]] | None]:
        """What is given of the data, and the context."""
        said = {name: [value.strip()] for name, value in fields.items() if value is not None and str(value).strip()}
        context = {column.name: said[column.name] for column in self.schema.context if column.name in said}
        given = {name: value for name, value in said.items() if name in self.schema.names and name != without}
        return given, context or None

    def conditional(self, name: str, fields: Mapping[str, str]) -> tuple[np.ndarray, str]:
        """The distribution of a column given the fields, as a picture and a sentence."""
        given, context = self._split(fields, name)
        i = self.schema.names.index(name)
        x, known = self._rows(given)
        with settled(self.flow, 0):
            ask = questions(self.flow)
            found = ask.predict(i, x, known, self._context(context))
        column = self.schema.columns[i]
        picture, words = _bars(column, found.values[0].numpy(), found.weights[0].numpy())
        said = ", ".join(f"{key} = {value[0]}" for key, value in given.items()) or "nothing"
        return pixels_of(picture), f"{name} given {said} ({ask.kind}): {words}"

    def samples(self, fields: Mapping[str, str], n: int, seed: int) -> pa.Table:
        """Rows of all columns, those that are given as they are."""
        given, context = self._split(fields)
        return sample(self.run, min(n, SHOWN_SAMPLES), context=context, given=given or None, seed=seed)

    def scored(self, fields: Mapping[str, str]) -> tuple[str, list[list[Any]]]:
        """A row's likelihood in a sentence, and log p of each column given all others, the least usual first."""
        given, context = self._split(fields)
        if not given:
            raise ValueError("score: no value is given; fill in the row, or take an example")
        if len(given) < len(self.schema.columns):
            log_p = float(self._terms(given, context).sum())
            return f"log p of the {len(given)} given values: {log_p:.3f} nats; with all columns given, the row is ranked", []
        row_of_table, at = self.schema.decode(self._rows(given)[0]), self._context(context)
        if at is not None:
            for name in self.schema.decode_context(at).column_names:
                row_of_table = row_of_table.append_column(name, self.schema.decode_context(at)[name])
        table = score(self.run, row_of_table).table
        assert table is not None
        row = table.to_pylist()[0]
        value = row["log_likelihood"]
        if value is None or not math.isfinite(value):
            return f"This row can't be: {row.get('reason') or 'its likelihood is zero'}", []
        percentile, unusual = rank(np.array([value]), np.asarray(read_results(self.run).quantiles))
        words = f"log p {value:.3f} nats; {percentile[0]:.1f} % of the training rows are less likely" + ("; unusual" if unusual[0] else "")
        return words, self._blame(given, context)

    def _blame(self, given: dict[str, list[str]], context: dict[str, list[str]] | None) -> list[list[Any]]:
        x, _ = self._rows(given)
        with settled(self.flow, 0):
            terms = questions(self.flow).others(x, self._context(context))[0].tolist()
        found = [[name, given[name][0], round(value, 3)] for name, value in zip(self.schema.names, terms, strict=True)]
        return sorted(found, key=lambda cell: cell[2])

    def _terms(self, given: dict[str, list[str]], context: dict[str, list[str]] | None) -> torch.Tensor:
        x, known = self._rows(given)
        with settled(self.flow, 0):
            return questions(self.flow).terms(x, torch.zeros_like(known), known, self._context(context))

    def _rows(self, given: dict[str, list[str]]) -> tuple[torch.Tensor, torch.Tensor]:
        if given:
            return given_rows("app", self.schema, given)
        x = torch.full((1, len(self.schema.columns)), torch.nan, dtype=torch.float64)
        return x, torch.zeros_like(x, dtype=torch.bool)

    def _context(self, context: dict[str, list[str]] | None) -> torch.Tensor | None:
        return context_rows(self.schema, context)


@style()
def _bars(column: Column, values: np.ndarray, weights: np.ndarray) -> tuple[Figure, str]:
    """A distribution as bars: shares of categories and whole numbers, a histogram of others; and its middle in words."""
    kind: Kind = column.kind
    picture = figure(9.0, 3.4)
    ax = picture.subplots()
    if not kind.support().ordered:
        words = column.vocabulary or ()
        shares = np.bincount(values.round().astype(int).clip(0, len(words) - 1), weights, len(words))
        order = np.argsort(-shares)[:BARS]
        ax.bar(range(len(order)), shares[order])
        ax.set_xticks(
            range(len(order)),
            [words[i][:18] for i in order],
            rotation=60 if len(order) > 6 else 0,
            ha="right" if len(order) > 6 else "center",
        )
        ax.set_ylabel("probability")
        return picture, f"most likely {words[order[0]]}, {100 * shares[order[0]]:.1f} %"
    below = weights.cumsum()
    at_levels = np.searchsorted(below, [0.002, 0.05, 0.5, 0.95, 0.998]).clip(max=len(values) - 1)
    first, low, middle, high, last = values[at_levels].tolist()
    inside = (values >= first) & (values <= last)
    heights, edges = np.histogram(values[inside], bins=60 if last > first else 1, weights=weights[inside])
    at = [_number(kind, edge) for edge in edges]
    ax.stairs(heights, at, fill=True)
    ax.set_ylabel("probability")
    ax.set_xlabel(column.name[:60])
    return picture, f"median {kind.shown(middle)}, nine tenths between {kind.shown(low)} and {kind.shown(high)}"


def _text(column: Column, x: float) -> str:
    """An encoded value as a field holds it."""
    if math.isnan(x):
        return ""
    return column.vocabulary[int(x)] if column.vocabulary else column.kind.shown(x)


def _number(kind: Kind, x: float) -> float:
    """An encoded number as that of the data; times stay seconds."""
    try:
        return float(kind.decode(np.array([x])).cast(pa.float64())[0].as_py())
    except pa.ArrowException:
        return x
