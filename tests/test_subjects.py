"""Kinds of data behind one set of functions."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pushforward import fit
from pushforward.data import ImageSchema, load, load_images
from pushforward.data.request import Request
from pushforward.subjects import SUBJECTS, ImageSubject, Subject, TableSubject, subject_for, subject_of
from pushforward.verbs.runs import subject_as


@pytest.mark.parametrize("kind", SUBJECTS.values(), ids=lambda kind: kind.__name__)
def test_a_kind_of_data_answers_all_that_is_asked(kind):
    assert not inspect.isabstract(kind) and inspect.isabstract(Subject)
    assert set(kind.reads) <= {f.name for f in fields(Request)}
    assert all(isinstance(getattr(kind, name), str) for name in ("foreign", "noun", "purpose", "nowhere"))


def test_what_data_are_is_asked_once():
    """By what was read, and before by what was asked for: ``digits`` can be either."""
    assert isinstance(subject_of(load("moons")), TableSubject) and isinstance(subject_of(load_images("digits")), ImageSubject)
    assert subject_for(Request("digits"), "nsf") is TableSubject and subject_for(Request("digits"), "glow") is ImageSubject
    assert subject_for(Request("cifar10"), None) is ImageSubject


def test_a_verb_for_one_kind_refuses_the_other():
    run = SimpleNamespace(path=Path("runs/faces"), schema=ImageSchema((1, 8, 8)))
    assert subject_as("edit", run, ImageSubject).schema is run.schema
    with pytest.raises(ValueError, match=r"^impute: runs/faces was fitted to images; this verb asks .* give a run of a table$"):
        subject_as("impute", run, TableSubject)


def test_a_run_to_start_from_is_of_the_same_kind(tmp_path):
    """Weights of the one are no beginning for the other."""
    images = np.random.default_rng(0).integers(0, 16, (30, 8, 8), dtype=np.uint8)
    options = ["model.scales=1", "model.steps=1", "model.width=4", "train.steps=1"]
    fit(images, "glow", bits=4, options=options, out=tmp_path / "glow", report=False, progress=False)
    with pytest.raises(ValueError, match=r"glow was fitted to images, and moons holds a table; fit without --from"):
        fit("moons", preset="tiny_table", start=tmp_path / "glow", progress=False)
