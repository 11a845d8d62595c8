"""Recipes as a user meets them: what help shows, and what is refused."""

from __future__ import annotations

import inspect
import re

import pytest

from pushforward import models
from pushforward.verbs import list_models

recipes = pytest.mark.parametrize("name", models.MODELS)


@recipes
def test_help_begins_with_what_it_is(name):
    """A sentence, the paper, shapes, every argument on a line of its own, errors, an example; ``list models`` shows the sentence."""
    text = inspect.getdoc(models.MODELS[name])
    first = text.splitlines()[0]
    assert first.endswith(".") and list_models()[name]["is"] == first
    if name not in ("gaussian", "gaussian_mixture"):
        assert re.search(r"\(.*arXiv:\d{4}\.\d{4,5}\)", first), first
    for part in ("Reference", "Arguments:\n", "Raises:\n    ValueError", "Example::\n\n    >>> "):
        assert part in text, part
    assert any(shape in text for shape in ("``(B, D)``", "``(B, C, H, W)``", "``(B, C, T)``"))
    arguments = text.split("Arguments:\n")[1].split("\n\n")[0]
    named = re.findall(r"^    (\w+): ", arguments, re.MULTILINE)
    assert named == list(inspect.signature(models.MODELS[name]).parameters)


@recipes
def test_every_option_is_checked(name):
    """Whatever its annotation: a value of another type is refused, in a sentence that names recipe, option and value."""
    recipe = models.MODELS[name]
    shape = (2,) if name in models.VECTOR_MODELS else (1, 4, 4)
    options = [p.name for p in inspect.signature(recipe).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert "context" in options
    for option in options:
        with pytest.raises(ValueError, match=rf"{name}: {option} must be .*, got 'shallow'"):
            recipe(shape, **{option: "shallow"})


REFUSED = [
    ("nsf", {"mechanism": "couplings"}, "mechanism must be 'autoregressive' or 'coupling', got 'couplings'"),
    ("nsf", {"spline": "rq"}, "'rational_quadratic', 'quadratic', 'cubic' or 'linear', got 'rq'"),
    ("nsf", {"steps": -1}, "steps must be a whole number of at least 1, got -1"),
    ("nsf", {"steps": 2.0}, "steps must be a whole number of at least 1, got 2.0"),
    ("nsf", {"steps": True}, "steps must be a whole number"),
    ("nsf", {"bound": float("nan")}, "bound must be a number above 0, got nan"),
    ("nsf", {"bound": 0}, "bound must be a number above 0, got 0"),
    ("nsf", {"mixing": 1}, "mixing must be True or False, got 1"),
    ("nsf", {"context": -1}, "context must be a whole number of at least 0, got -1"),
    ("glow", {"scales": 0}, "scales must be a whole number of at least 1, got 0"),
    ("glow", {"memory": "none"}, "memory must be 'full', 'constant' or 'checkpoint', got 'none'"),
    ("glow", {"alpha": -0.1}, "alpha must be a number of at least 0"),
    ("flow_pp", {"boards": (1, -1)}, r"boards must be whole numbers of at least 0, got \(1, -1\)"),
    ("flow_pp", {"dropout": -0.5}, "dropout must be a number of at least 0"),
]


@pytest.mark.parametrize(("name", "options", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_refuses(name, options, words):
    with pytest.raises(ValueError, match=words):
        models.MODELS[name]((1, 4, 4) if name in models.IMAGE_MODELS else (2,), **options)


def test_what_is_no_option_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        models.nsf((2,), stepz=3)


def test_whole_numbers_of_other_libraries_are_whole_numbers():
    import numpy as np

    models.nsf((2,), steps=np.int64(1), bound=np.float32(3.0), width=8)
    models.glow((1, 4, 4), steps=1, width=8, alpha=0, scales=None)
