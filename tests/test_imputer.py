"""FlowImputer among scikit-learn's imputers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from pushforward import FlowImputer

TINY = {"options": {"width": 8, "depth": 1, "cells": 4, "fine": 2, "rank": 2}, "steps": 3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_check_estimator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        outcomes = check_estimator(FlowImputer(**TINY, random_state=0), on_fail=None)
    failed = {o["check_name"]: o["exception"] for o in outcomes if o["status"] not in ("passed", "skipped")}
    assert not failed, failed
    assert sum(o["status"] == "passed" for o in outcomes) > 30


def test_gaps_are_filled_from_the_row():
    """Two equal columns and a count: the median follows the other, draws are spread around it, whole numbers stay whole."""
    draw = np.random.default_rng(0)
    z = draw.normal(size=1500)
    X = np.stack([z, z + 0.1 * draw.normal(size=1500), draw.poisson(3, 1500)], 1)
    holes = X.copy()
    holes[:300, 1] = np.nan
    holes[300:400, 2] = np.nan
    imputer = FlowImputer(random_state=0, steps=500, options={"width": 32}).fit(holes)
    filled = imputer.transform(holes)
    known = ~np.isnan(holes)
    assert np.array_equal(filled[known], holes[known]) and not np.isnan(filled).any()
    assert np.abs(filled[:300, 1] - X[:300, 1]).mean() < 0.3 and (filled[:, 2] == filled[:, 2].round()).all()
    drawn = imputer.set_params(how="draw").transform(holes)
    assert 0.7 < np.corrcoef(drawn[:300, 1], X[:300, 1])[0, 1] < 1 and not np.array_equal(drawn, filled)


def test_what_is_refused():
    with pytest.raises(ValueError, match="'middle' or 'draw'"):
        FlowImputer(how="median").fit(np.zeros((30, 2)))
