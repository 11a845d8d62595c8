"""A number of features, units or bins that is none builds nothing: in layers, nets, maps and likelihoods taken directly."""

from __future__ import annotations

import inspect

import pytest

import pushforward as pf
from pushforward import likelihoods, nets, univariate

USUAL = {"channels": 4, "degree": 4, "dim": 4, "factor": 2, "inputs": 4, "kernel": 3, "levels": 4, "outputs": 4, "params": 2, "patch": 2,
         "rank": 2, "shape": (1, 4, 4), "size": 3, "squares": 2, "units": 3, "width": 8, "bins": 4, "components": 3, "heads": 2,
         "latent": (2, 4, 4), "cells": 4, "codes": 4, "scales": 1, "columns": [pf.transforms.Support()],
         "coarse": pf.distributions.Causal(likelihoods.Bernoulli(), nets.MaskedConvNet((1, 2, 2), 1, width=4), (1, 2, 2)),
         "net": lambda inputs, outputs: nets.ResNet(inputs, outputs, width=4, depth=1)}  # fmt: skip
SIGNAL = {"shape": (1, 4)}  # of nets over time
ROOMS = (pf.transforms, nets, univariate, likelihoods, pf.distributions)
CLASSES = {
    name: thing
    for room in ROOMS
    for name, thing in vars(room).items()
    if inspect.isclass(thing)
    and thing.__module__.startswith(f"{room.__name__}.")
    and name not in ("Autoregressive", "Causal", "Continuous", "LadderVAE", "Prefix", "Residual")
}


def given(cls: type) -> tuple[dict[str, object], list[str]]:
    """Arguments that build it, and the names of its counts."""
    parameters = inspect.signature(cls, eval_str=True).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    usual = USUAL | SIGNAL if cls is nets.WaveNet else USUAL
    return {name: usual.get(name) for name in needed}, [p.name for p in parameters if p.annotation is int]


CASES = [(name, count) for name, cls in CLASSES.items() for count in given(cls)[1]]


@pytest.mark.parametrize("name, count", CASES)
def test_what_is_no_count_builds_nothing(name, count):
    arguments, _ = given(CLASSES[name])
    CLASSES[name](**arguments)
    with pytest.raises(ValueError, match="-1"):
        CLASSES[name](**arguments | {count: -1})
    for value in (2.5, "3"):
        with pytest.raises((ValueError, TypeError)):
            CLASSES[name](**arguments | {count: value})


def test_there_are_many():
    assert len(CASES) > 60
