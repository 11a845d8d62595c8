"""Options from signatures: names, types, presets, and what is said when they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from pushforward import models
from pushforward.options import defaults, parse_options, read_pairs
from pushforward.presets import read_preset

if TYPE_CHECKING:
    from nowhere import Missing  # as fit.py imports Run


def recipe(
    shape, *, steps: int = 5, slope: float = 0.5, mechanism: Literal["coupling", "autoregressive"] = "coupling", context: int = 0
): ...


def train(
    flow,
    *,
    steps: int | None = None,
    lr: float = 1e-3,
    flag: bool = True,
    widths: tuple[int, ...] = (1, 2),
    seed: int = 0,
    run: Missing | None = None,
): ...


@pytest.mark.parametrize(
    ("pair", "model", "fit"),
    [
        ("model.steps=8", {"steps": 8}, {}),
        ("model.slope=1", {"slope": 1.0}, {}),
        ("model.mechanism=autoregressive", {"mechanism": "autoregressive"}, {}),
        ('model.mechanism="coupling"', {"mechanism": "coupling"}, {}),
        ("train.lr=1e-3", {}, {"lr": 1e-3}),
        ("train.steps=2e3", {}, {"steps": 2000}),
        ("train.steps=none", {}, {"steps": None}),
        ("train.flag=false", {}, {"flag": False}),
        ("train.widths=[3, 4, 5]", {}, {"widths": (3, 4, 5)}),
    ],
)
def test_values(pair, model, fit):
    assert parse_options([pair], recipe, train) == (model, fit)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (
            "model.step=8",
            ["unknown option model.step", "did you mean 'model.steps'?", "recipe takes model.steps, model.slope, model.mechanism"],
        ),
        ("train.learning_rate=1", ["unknown option train.learning_rate", "fit takes train.steps, train.lr"]),
        ("lr=1e-3", ["unknown option lr", "did you mean 'train.lr'?"]),
        ("model.lr=1e-3", ["unknown option model.lr", "did you mean 'train.lr'?"]),
        ("model.context=2", ["unknown option model.context"]),
        ("train.seed=2", ["unknown option train.seed"]),
        ("model.steps=2.5", ["model.steps", "expected int, got 2.5"]),
        ("model.steps=many", ["model.steps", "expected int, got 'many'"]),
        ("model.steps=-1", ["model.steps", "expected a count of at least 0, got -1"]),
        ("model.steps=true", ["model.steps", "expected int, got True"]),
        ("model.mechanism=attention", ["model.mechanism", "'coupling' or 'autoregressive'", "attention"]),
        ("model.steps", ["expected name=value", "'model.steps'"]),
    ],
)
def test_errors_are_one_sentence(pair, words):
    with pytest.raises(ValueError) as caught:
        parse_options([pair], recipe, train)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_later_pairs_win_and_values_may_hold_equals():
    assert read_pairs(["a=1", "a=2", "b=x=y"]) == {"a": 2, "b": "x=y"}


@pytest.mark.parametrize("name", models.MODELS)
def test_every_recipe_describes_itself(name):
    """Each default passes its own type check: a recipe's signature is its schema."""
    options = {f"model.{option}": value for option, value in defaults(models.MODELS[name]).items()}
    assert parse_options(options, models.MODELS[name], train)[0] == defaults(models.MODELS[name])


def test_presets(tmp_path):
    path = tmp_path / "preset.toml"
    path.write_text('model.name = "nsf"\nmodel.steps = 3\n[train]\nlr = 0.01\n[data]\nseed = 1\n')
    assert read_preset(path) == {"model.name": "nsf", "model.steps": 3, "train.lr": 0.01}
    for text, words in [("model = ", "not a TOML file"), ("modle.steps = 3", "did you mean 'model'?"), ('model = "nsf"', "settings like")]:
        path.write_text(text)
        with pytest.raises(ValueError, match="preset") as caught:
            read_preset(path)
        assert words in str(caught.value) and "\n" not in str(caught.value)
