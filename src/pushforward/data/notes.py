"""What was understood of a table, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..words import listing
from .column import Column

WORDS = 100  # a larger vocabulary makes a wide context


def describe(columns: Sequence[Column], context: Sequence[Column], fixed: Sequence[Column] = ()) -> list[str]:
    """One sentence for each kind of column, one for what never changes, one for the context."""
    phrases: dict[str, list[str]] = {}
    for column in columns:
        phrases.setdefault(column.kind.words(), []).append(column.name)
    notes = [f"{words[:1].upper()}{words[1:]}: {listing(names)}." for words, names in phrases.items()]
    if fixed:
        always = listing(f"{column.name} ({column.kind.shown(0.0)})" for column in fixed)
        notes.append(f"Always the same, so no part of the density, and there again in samples: {always}.")
    if context:
        words = [f"{c.name} ({len(c.vocabulary)} values)" if c.vocabulary else c.name for c in context]
        notes.append(f"Context, what the model is conditioned on: {listing(words)}.")
    wide = [f"{c.name} ({len(c.vocabulary):,})" for c in context if c.vocabulary and len(c.vocabulary) > WORDS]
    if wide:
        notes.append(f"Warning: a context of many values is one-hot encoded and wide, most values will have few rows: {listing(wide)}.")
    return notes
