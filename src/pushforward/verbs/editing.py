"""Attributes of images changed through the latent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from .. import latent
from ..data import DataError, ImageSchema, Rows
from ..subjects.image_samples import whole
from ..training import Run
from ..words import listing, nearest
from .image_rows import Strip, check_png, chosen, image_run, label_words, labelled, some

Method = Literal["mean", "probe", "class"]
YES = ("1", "1.0", "true", "yes")  # how a column of an attribute says that an image has it


def edit(
    run: Run | str | Path,
    label: str | None = None,
    out: str | Path | None = None,
    *,
    method: Method | None = None,
    strengths: Sequence[float] = (-2, -1, 0, 1, 2),
    data: Any = None,
    rows: Sequence[int] = (),
    n: int = 6,
    limit: int = 5000,
    seed: int = 0,
) -> Strip:
    """Images with more or less of an attribute, or as another class.

    ``"mean"``: along the difference of the mean latents of the images with and without the label (Glow); ``"probe"``: along the
    direction that a logistic regression reads it from; strength 1 carries the one mean to the other in both. ``"class"``: for a run
    that was given the label as context, each image encoded with its own label and decoded with another; the default there, since
    such a latent says little of the label.

    Arguments:
        run: a run of images, or its directory.
        label: a value of the label, ``"3"``; two, ``"3:7"``, for the direction from 7 to 3; ``"column=3"`` where there are several
            columns of labels; a column of yes and no, ``"Smiling"``. For "class" one or more values, ``"3,7"``; all without it.
        out: the picture to write, .png.
        method: "mean", "probe" or "class".
        strengths: how far, for "mean" and "probe".
        data: images with labels; those that the run was fitted to otherwise.
        rows: numbers of images to show; otherwise ``n`` drawn by ``seed``, half of them without the label. None of them makes the
            direction.
        n: how many are shown.
        limit: images that make the direction, at most.
        seed: of the choice.

    Raises:
        ValueError: there are no labels, or not this one; a method that needs a context the run has not; a path that can't be written.

    Example::

        >>> edit("runs/mnist-glow", "3:7", "strip.png").images.shape
        (6, 5, 1, 28, 28)
    """
    run, schema = image_run("edit", run)
    check_png("edit", out)
    conditions = [column.name for column in schema.context]
    images, everything = labelled(run, schema, data)
    if not images.labels.column_names:
        raise DataError(
            f"edit: {images.name} has no labels, so that no direction can be learned; give data with them (a label column, or sub-folders)"
        )
    wanted = _parse(label, images.labels, conditions)
    if method is None:
        method = "class" if wanted.column in conditions else "mean"
    if method not in ("mean", "probe", "class"):
        raise ValueError(f"edit: expected the method mean, probe or class, got {method!r}")
    if method == "class":
        return _classes(run, schema, wanted, everything, rows, n, seed).write(out)
    if not wanted.values:
        raise ValueError(f"edit: expected a label, got none; {wanted.column!r} has {listing(sorted(set(wanted.all.tolist())))}")
    return _moved(run, schema, images.name, wanted, everything, method, strengths, rows, n, limit, seed).write(out)


@dataclass(frozen=True)
class _Wanted:
    """A column of labels, its value for each image, the values asked for, and those that the direction starts from (all others if none)."""

    column: str
    all: np.ndarray
    values: list[str]
    other: str | None
    words: str


def _parse(label: str | None, labels: pa.Table, conditions: list[str]) -> _Wanted:
    """What the label of the command line means for these labels.

    Raises:
        DataError: there is no such column or value.
    """
    names = labels.column_names
    usual = next((name for name in [*conditions, "label"] if name in names), names[0])
    column, values, other = usual, [], None
    if label is not None:
        before, equals, after = label.partition("=")
        if equals:
            column, label = before.strip(), after
            if column not in names:
                raise DataError(
                    f"edit: there is no label column {column!r}{nearest(column, names) or ';'} the columns are {listing(names)}"
                )
        elif label in names:
            flags = np.array([str(v).lower() in YES for v in labels[label].to_pylist()])
            return _Wanted(label, np.where(flags, "yes", "no"), ["yes"], "no", label)
        elif len(names) > 1 and usual not in [*conditions, "label"]:
            raise DataError(f"edit: there are several columns of labels; write one of {listing(f'{name}=VALUE' for name in names)}")
        first, colon, last = label.partition(":")
        values, other = [value.strip() for value in first.split(",")], last.strip() if colon else None
    found = np.array([str(v) for v in labels[column].to_pylist()])
    known = sorted(set(found.tolist()))
    for value in [*values, *([other] if other is not None else [])]:
        if value not in known:
            raise DataError(f"edit: {column!r} has no label {value!r}{nearest(value, known) or ';'} it has {listing(known, 12)}")
    words = " or ".join(values) + (f" instead of {other}" if other is not None else "")
    return _Wanted(column, found, values, other, words)


def _moved(
    run: Run,
    schema: ImageSchema,
    name: str,
    wanted: _Wanted,
    everything: Rows,
    method: str,
    strengths: Sequence[float],
    rows: Sequence[int],
    n: int,
    limit: int,
    seed: int,
) -> Strip:
    has = np.isin(wanted.all, wanted.values)
    lacks = ~has if wanted.other is None else wanted.all == wanted.other
    order = np.random.default_rng(seed).permutation(len(has))
    groups = [order[lacks[order]], order[has[order]]]
    if min(map(len, groups)) < 2:
        raise DataError(f"edit: {name} has too few images with and without {wanted.words} to compare; give more, or another label")
    shown = list(rows) or [int(i) for group, count in zip(groups, (n - n // 2, n // 2)) for i in group[: min(count, len(group) // 2)]]
    picked = chosen("edit", everything, shown)
    rest = [group[~np.isin(group, shown)] for group in groups]
    usable = np.random.default_rng(seed).permutation(np.concatenate(rest))
    held = min(1000, len(usable) // 5)
    made, judged = usable[held:][:limit], usable[:held]
    find = latent.mean_difference if method == "mean" else latent.linear_probe
    part = everything.pick(made)
    direction = find(run.flow, part.x, torch.from_numpy(has[made]), part.context)
    strip = latent.edit(run.flow, picked.x, direction, strengths, picked.context)
    columns = tuple(f"{s:+g}".replace("-", "−") if s else "data" for s in strengths)
    real = tuple(j for j, s in enumerate(strengths) if not s)
    images = whole(strip, schema.levels)
    for j in real:
        images[:, j] = picked.x.numpy()
    how = "the difference of the mean latents" if method == "mean" else "the direction of a linear probe"
    words = f"Each row is an image with less (−) and more (+) of {wanted.words}, along {how} of {len(made):,} images"
    if 0 < has[judged].sum() < len(judged):
        part = everything.pick(judged)
        chance = latent.separation(run.flow, part.x, torch.from_numpy(has[judged]), direction, part.context)
        words += f"; among {len(judged):,} others one with it lies further along than one without it {100 * chance:.0f} % of the time"
    names = tuple(str(wanted.all[i]) for i in shown)
    return Strip(images, schema.levels, columns, names, real, words + ".")


def _classes(run: Run, schema: ImageSchema, wanted: _Wanted, everything: Rows, rows: Sequence[int], n: int, seed: int) -> Strip:
    """Images decoded with other labels than their own."""
    names = [column.name for column in schema.context]
    if wanted.column not in names or everything.context is None:
        given = listing(names) if names else "nothing"
        raise ValueError(
            f"edit: the method class needs a run that is given {wanted.column!r} (fit --context {wanted.column}); this one is given {given}"
        )
    place = names.index(wanted.column)
    vocabulary = schema.context[place].vocabulary
    if not vocabulary:
        raise ValueError(f"edit: the method class needs labels, but {wanted.column!r} is a number; use mean or probe")
    values = wanted.values or list(vocabulary)
    picked = chosen("edit", everything, list(rows) or some(everything, n, seed))
    assert picked.context is not None
    images = [picked.x.numpy()]
    for value in values:
        other: Tensor = picked.context.clone()
        other[:, place] = vocabulary.index(value)
        images.append(whole(latent.swap(run.flow, picked.x, picked.context, other), schema.levels))
    words = (
        f"Each row is an image, encoded with its own {wanted.column} and decoded with others: what the {wanted.column} doesn't say is kept."
    )
    return Strip(np.stack(images, 1), schema.levels, ("data", *values), label_words(schema, picked), (0,), words)
