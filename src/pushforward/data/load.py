"""From a source of rows to train, validation and test splits with a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..words import listing, nearest
from .cells import Cells
from .choose import Chosen, choose, complete
from .column import Column
from .contents import repeats
from .doubts import warn
from .embedded import EMBEDDED
from .errors import DataError, leaving_out
from .formats import READERS, TEXT
from .image_density import PICTURES, PREFIX, image_density
from .infer import infer
from .kinds import Constant, Integer, Maybe
from .notes import describe
from .query import is_query
from .reading import Reading
from .rows import Rows
from .schema import Schema, stack
from .source import Source
from .splits import RANDOM, Units, split_rows
from .stored import large, store
from .tables import read
from .toy import ENTROPY, SIZES, TOYS

FEWEST = 20  # rows below which there is nothing to fit
OUTERMOST = float(np.finfo(np.float32).max)  # standard deviations from the mean: what the nets' dtype holds


@dataclass(frozen=True)
class Data:
    """Splits of a table or of images, what they mean, and what to tell the user about it.

    Attributes:
        name: what the data are called.
        schema: the columns, a :class:`Schema`; of images an :class:`ImageSchema`.
        train, valid, test: the splits.
        entropy: of a toy or a picture, in nats; None where it is unknown.
        notes: what was understood, dropped or looks doubtful (these begin with "Warning:"), in sentences.
        stored: all training rows of data larger than memory; ``train`` are some of them then.
    """

    name: str
    schema: Any  # either, and whoever asks for what only one of them has knows which
    train: Rows
    valid: Rows
    test: Rows
    entropy: float | None
    notes: list[str]
    stored: Rows | None = None

    @property
    def lesson(self) -> Rows:
        """The rows that a model learns from."""
        return self.train if self.stored is None else self.stored


def load(
    source: Any,
    *,
    columns: str | Sequence[str] | None = None,
    context: str | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    missing: str = "error",
    seed: int = 0,
    valid: Any = None,
    test: Any = None,
    weight: str | None = None,
    exclude: str | Sequence[str] | None = None,
    split: str = RANDOM,
    group: str | None = None,
    schema: Schema | None = None,
    reading: Reading | Mapping[str, Any] | None = None,
) -> Data:
    """Rows from a name, file, array or table, split and described.

    Without ``valid`` and ``test`` the rows are shuffled by ``numpy.random.default_rng(seed).permutation`` and cut: the first 80 %
    train, the next 10 % validation, the last 10 % test; what is given for one of them is taken whole, and only the other is cut off.
    With ``split`` or ``group`` the shares are met as nearly as the values of that column allow.
    Parquet files of more numbers than a gigabyte holds are encoded to a file on disk (in TMPDIR): a sample of a million rows tells kinds
    and statistics, at most 100,000 rows each are held out, and memory does not grow with the others.

    Toys and pictures are drawn with ``seed``. Statistics come from the train split, kinds and vocabularies from all rows of ``source``.

    Arguments:
        source: a toy or embedded set by name, a path (.csv .tsv .jsonl .parquet .arrow .feather .npy .npz), a folder, pattern or list of
            files, a query (SELECT ... of local files), an array, tensor, data frame, dict or table;
            ``image:PATH`` for the points of a picture that is bright where they are likely (``image:PATH?dark``: dark).
        columns: the data; by default all columns but context, weight and those that only name the rows, as row numbers do.
        context: columns to condition on.
        kinds: kinds by column name where the inferred ones don't fit: real, integer, positive, interval, interval:LOW:HIGH, grid,
            grid:STEP, category, time, periodic:LOW:HIGH, constant, identifier (left out). A plain interval goes from 0 to 1.
        missing: what becomes of null, NaN and infinite values: "error", "drop" for dropping such rows, or "keep" for NaN in the rows,
            in columns of the kind ``maybe`` (a model has to take them); "ignore" the same, where that a value is missing is nothing to
            be modelled, and says nothing of it that the rest of the row does not (missing at random).
        seed: of the shuffle, or of the draw of a toy or a picture.
        valid, test: further sources for these splits.
        weight: a column of non-negative sample weights.
        exclude: columns that take no part.
        split: "random", or a column of numbers or times: the rows of its least values train, those of its greatest test, and rows of one
            value stay together. No part of the density unless it is named among the columns or the context.
        group: a column, likewise, of whose values none is in two splits; shuffled by ``seed``, but values of more than a tenth of the
            rows train.
        schema: of a fitted run, statistics included: the columns are read as its own, and nothing is inferred or measured.
        reading: how text is read where that can't be found out from it, a :class:`Reading` or its options by name.

    Raises:
        DataError: what is wrong, where, and the remedy, in one sentence.

    Example::

        >>> data = load("wine", context=["class"])
        >>> data.train.x.shape, data.train.context.shape, data.schema.context_width
        (torch.Size([142, 13]), torch.Size([142, 1]), 3)
    """
    if missing not in ("error", "drop", "keep", "ignore"):
        raise DataError(f"load: missing must be 'error', 'drop', 'keep' or 'ignore', got {missing!r}")
    by = group if split == RANDOM else split
    _check_asked(split, group, valid, test)
    if (many := large(source)) is not None:
        if by or weight or valid is not None or test is not None:
            remedy = "leave out split, group, weight, valid and test, or read a part of them"
            raise DataError(f"{many.name}: rows that are not held in memory are split at random and not weighted; {remedy}")
        asked: dict[str, Any] = {"columns": columns, "context": context, "kinds": kinds, "missing": missing, "exclude": exclude}

        def understand(some: Source, held: Source, final: Source, known: Schema | None) -> Data:
            return load(some, valid=held, test=final, schema=schema or known, **asked)

        stored = store(many, understand, missing, seed)
        return replace(stored.data, stored=stored.train, notes=[*stored.data.notes, stored.note])
    opened = _open(source, seed, reading)
    if opened.source.table.num_columns and not opened.source.table.num_rows:
        raise DataError(f"{opened.source.name}: there are no rows in it; give at least {FEWEST}")
    whole = not (columns or context or kinds or exclude or by)
    if schema is not None:
        columns, context = schema.names, [column.name for column in schema.context]
    given = _names(context)
    names = None if columns is None else _names(columns)
    if names is None and opened.columns is not None:
        names = [name for name in opened.columns if name not in (*given, weight, by)]
    chosen = choose(opened.source, names, given, kinds, weight, _names(exclude), by)
    table, kept, notes = complete(opened.source, chosen, missing)
    where = opened.source.name
    if len(kept) < FEWEST:
        raise DataError(f"{where}: {len(kept)} rows are too few to fit a density; give at least {FEWEST}")
    understood = schema or _understand(table, chosen, opened, kept, missing == "ignore")
    rows = _rows(table, understood, chosen.weight, where, kept)
    further = [None if extra is None else _further(read(extra, reading), understood, chosen, missing, notes) for extra in (valid, test)]
    units = None
    if by is not None:
        cells = Cells(table[by], by, where, kept)
        units = Units.grouped(cells, seed) if by == group else Units.in_order(cells)
    train, held_out, final = split_rows(rows, seed, further, opened.drawn, units)
    schema = schema or _measure(understood, train, where)
    _check(schema, {"train": train, "validation": held_out, "test": final}, where)
    sizes = f"{where}: {len(train):,} rows to train, {len(held_out):,} to validate, {len(final):,} to test; {len(schema.columns)} columns."
    cuts = [] if units is None else [units.note(by in chosen.described)]
    told = [*opened.notes, *opened.source.notes, *cuts, *describe(schema.columns, schema.context, schema.fixed)]
    notes = [sizes, *told, *notes, *warn(schema.columns, train.x.numpy())]
    if not (opened.drawn or schema.discrete):  # of whole numbers, equal rows are no wonder
        notes += repeats(train, {"validation": held_out, "test": final})
    return Data(where, schema, train, held_out, final, opened.entropy if whole else None, notes)


@dataclass(frozen=True)
class _Opened:
    source: Source
    drawn: bool = False  # with the sizes of a toy
    entropy: float | None = None
    notes: tuple[str, ...] = ()
    columns: list[str] | None = None
    levels: int | None = None
    image: tuple[int, ...] | None = None


def _open(source: Any, seed: int, reading: Reading | Mapping[str, Any] | None) -> _Opened:
    if isinstance(source, str) and source in TOYS:
        x = TOYS[source](sum(SIZES), np.random.default_rng(seed))
        return _Opened(replace(read(x), name=source), drawn=True, entropy=ENTROPY[source])
    if isinstance(source, str) and source.startswith(PREFIX):
        picture = image_density(source)
        points = picture.draw(sum(SIZES), np.random.default_rng(seed))
        table = pa.table({name: points[:, i] for i, name in enumerate("xy")})
        return _Opened(Source(picture.name, table), drawn=True, entropy=picture.entropy, notes=(picture.note(),))
    if isinstance(source, str) and source in EMBEDDED:
        known = EMBEDDED[source]()
        return _Opened(known.source, columns=known.columns, levels=known.levels, image=known.image)
    if is_query(source) or (isinstance(source, str) and Path(source).is_dir()):
        return _Opened(read(source, reading))
    if isinstance(source, str) and not set(source) & set("./\\"):
        names = [*TOYS, *EMBEDDED, *PICTURES]
        hint = nearest(source, names) or "; check the name"
        there = f"names: {listing(names, 20)}; files: {listing([*TEXT, *READERS], 20)}"
        raise DataError(f"load: there are no data called {source!r}{hint} ({there})")
    if isinstance(source, str) and source.lower().endswith((".png", ".jpg", ".jpeg")):
        raise DataError(f"load: {source} holds no rows; to fit the density that the picture shows, write {PREFIX}{source}")
    return _Opened(read(source, reading))


def _check_asked(split: str, group: str | None, valid: Any, test: Any) -> None:
    """Raise DataError if the splits are said twice."""
    if split != RANDOM and group is not None:
        raise DataError("load: split and group both say which rows are held out; give one of them (fit --split, fit --group)")
    if (split != RANDOM or group is not None) and not (valid is None and test is None):
        flag = "fit --split" if group is None else "fit --group"
        raise DataError(f"load: valid or test rows are given, which are splits already; leave {flag} out, or fit --valid and fit --test")


def _names(value: str | Sequence[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _understand(table: pa.Table, chosen: Chosen, opened: _Opened, kept: np.ndarray, ignorable: bool) -> Schema:
    """The schema without statistics."""
    where = opened.source.name

    def column(name: str, context: bool) -> Column:
        cells, declared = Cells(table[name], name, where, kept, context), chosen.kinds.get(name)
        present = cells.present()
        if not len(present):
            raise DataError(f"{where}: column {name!r} is missing in every row; {leaving_out([name])}")
        if opened.levels is not None and declared is None and pa.types.is_integer(cells.dtype):
            return Column(name, Integer.of(cells, 0.0, opened.levels - 1.0))
        kind = infer(present, declared)
        return Column(name, kind if present is cells else Maybe.around(kind, ignorable))

    found = [column(name, False) for name in chosen.columns]
    fixed = [each for each in found if isinstance(each.kind, Constant)]
    columns = [each for each in found if each not in fixed]
    if not columns:
        same = listing(f"{each.name!r} is always {each.kind.shown(0.0)}" for each in fixed)
        raise DataError(f"{where}: there is nothing to model, since {same}; give a column that varies")
    image = opened.image if chosen.columns == opened.columns else None
    return Schema(columns, [column(name, True) for name in chosen.context], image, fixed, chosen.columns if fixed else [])


def _rows(table: pa.Table, schema: Schema, weight: str | None, where: str, kept: np.ndarray) -> Rows:
    x = stack(table, schema.columns, where, kept)
    stack(table, [column for column in schema.fixed if column.name in table.column_names], where, kept)  # those are only checked
    context = stack(table, schema.context, where, kept) if schema.context else None
    if weight is None:
        return Rows(x, context)
    w = stack(table, [Column(weight)], where, kept)[:, 0]
    if (w < 0).any() or not (w > 0).any():
        raise DataError(f"{where}: the weights in column {weight!r} must not be negative, nor all zero; the smallest is {w.min().item():g}")
    return Rows(x, context, w)


def _further(source: Source, schema: Schema, chosen: Chosen, missing: str, notes: list[str]) -> Rows:
    """All rows of a source given for a split."""
    table, kept, dropped = complete(source, chosen, missing)
    notes += dropped
    if not len(kept):
        raise DataError(f"{source.name}: there are no rows; give at least one")
    return _rows(table, schema, chosen.weight, source.name, kept)


def _measure(schema: Schema, train: Rows, where: str) -> Schema:
    """The schema with the statistics of the train split."""
    columns = [column.measured(train.x[:, i].numpy(), where) for i, column in enumerate(schema.columns)]
    fixed = [column for column in columns if column.distinct == 1 and not column.discrete]
    if fixed:
        said = listing(f"{column.name!r} is always {column.minimum:g}" for column in fixed)
        raise DataError(f"{where}: in training {said}, which has no density; {leaving_out(column.name for column in fixed)}")
    given = [] if train.context is None else list(train.context.T.numpy())
    context = [column.measured(codes, where) for column, codes in zip(schema.context, given)]
    return replace(schema, columns=columns, context=context)


def _check(schema: Schema, splits: Mapping[str, Rows], where: str) -> None:
    """Raise DataError for what would only come to light after training: a split that weighs nothing, numbers beyond the nets' dtype."""
    for part, rows in splits.items():
        if rows.weight is not None and not rows.weight.sum() > 0:
            raise DataError(f"{where}: all weights of the {part} rows are zero; give other rows for it (valid, test), or another seed")
        given = [] if rows.context is None else list(rows.context.T.numpy())
        for column, x in zip([*schema.columns, *schema.context], [*rows.x.T.numpy(), *given]):
            end = column.kind.support()
            if end.whole or end.low is not None:
                continue
            with np.errstate(over="ignore"):
                far = np.nan_to_num(np.abs((x - column.mean) / column.std), nan=0.0, posinf=np.inf)
            furthest = int(far.argmax())
            if far[furthest] > OUTERMOST:
                raise DataError(
                    f"{where}: column {column.name!r} holds {x[furthest]:g} in the {part} rows, where {column.std:.3g} is the standard "
                    "deviation of training; drop such rows, or rescale the column"
                )
