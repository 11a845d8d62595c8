"""Labels of images and sounds as columns to condition on."""

from __future__ import annotations

import pyarrow as pa

from ..words import listing, nearest
from .cells import is_string, strings
from .column import Column
from .compute import pc
from .errors import DataError
from .kinds import Category, Real

MOST_LABELS = 10_000  # values of a label: each becomes an input of the nets


def label_column(where: str, labels: pa.Table, name: str) -> Column:
    """A label as a column of the context: text and whole numbers by their values, real numbers as they are.

    Raises:
        DataError: there is no such label, or it has too many values.
    """
    check_labels(where, labels, [name])
    values = labels[name]
    if pa.types.is_floating(values.type):
        return Column(name, Real(dtype=str(values.type)))
    distinct = pc.unique(values.drop_null())
    words = strings(distinct.sort())
    if len(words) > MOST_LABELS:
        raise DataError(f"{where}: {name!r} has {len(words):,} values, too many to condition on; choose labels of fewer values")
    kind = "string" if is_string(values.type) else str(values.type)
    return Column(name, Category(dtype=kind, vocabulary=tuple(words.to_pylist())))


def check_labels(where: str, labels: pa.Table, names: list[str]) -> None:
    """Raise DataError if a label is not there; the nearest is named."""
    have = labels.column_names
    for name in names:
        if name not in have:
            hint = nearest(name, have) or f"; it has {listing(have)}" if have else "; these images have no labels"
            raise DataError(f"{where}: there is no label {name!r}{hint}")


def told_labels(labels: pa.Table, context: list[Column]) -> list[str]:
    """What a model is conditioned on, and which labels are left."""
    notes = []
    for column in context:
        known = column.vocabulary
        notes.append(f"Given: {column.name}, " + (f"{len(known)} labels ({listing(known, 10)})." if known else "a real number."))
    rest = [name for name in labels.column_names if name not in [column.name for column in context]]
    if rest:
        notes.append(f"Labels that are not used: {listing(rest)} (fit --context conditions the model on them).")
    return notes
