"""Calibration: right flows pass, others are told apart in the right direction, and the errors stated are the errors made."""

from __future__ import annotations

import importlib
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pushforward import Flow, Transform
from pushforward.data import Rows
from pushforward.distributions import Normal
from pushforward.evaluation import Calibration, Results, Score, calibration
from pushforward.transforms import Support

FILE = importlib.import_module("pushforward.evaluation.calibration")  # whose name the function hides


class Around(Transform):
    """Given c, or 0, x is normal: ``z = (x - c - shift) / scale``."""

    def __init__(self, scale=1.0, shift=0.0):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x, context=None):
        return (x - (0 if context is None else context) - self.shift) / self.scale, x.new_full((len(x),), -math.log(self.scale))

    def inverse(self, z, context=None):
        return self.scale * z + (0 if context is None else context) + self.shift, z.new_full((len(z),), math.log(self.scale))


def flow(scale=1.0, shift=0.0, context=True):
    return Flow(Normal((2,)), Around(scale, shift), context=2 if context else None).double()


def rows(n=1000, seed=0, context=True):
    random = torch.Generator().manual_seed(seed)
    c = torch.randn(n, 2, dtype=torch.float64, generator=random) * 3
    x = torch.randn(n, 2, dtype=torch.float64, generator=random)
    return Rows(x + c, c) if context else Rows(x)


@pytest.mark.parametrize("context", [True, False], ids=["conditional", "plain"])
@pytest.mark.parametrize(
    ("scale", "shift", "fault"),
    [(1.0, 0.0, ""), (0.7, 0.0, "too narrow"), (1.4, 0.0, "too wide"), (1.0, 0.4, "too high"), (1.0, -0.4, "too low")],
)
def test_faults_are_told_apart(scale, shift, fault, context):
    found = calibration(flow(scale, shift, context), rows(context=context), ["a", "b"])
    told = [found.fault(ranks) for ranks in found.columns]
    assert all(one.endswith(fault) for one in told) if shift else told == [fault, fault]  # intervals in the wrong place hold less, too
    assert found.words().startswith("calibrated" if not fault else "not calibrated")
    true = math.erf(1.6448536 * scale / math.sqrt(2))  # of the model's 90 % interval, if it is not shifted
    if not shift:
        assert all(abs(ranks.at(0.9) - true) < 4 * found.stderr(0.9) for ranks in found.columns)
    assert all(sum(ranks.counts) == pytest.approx(1) for ranks in found.columns)
    if context and scale != 1:
        assert found.fault(found.joint) and "TARP" in found.words()
    if not shift and scale == 1 and context:
        assert not found.fault(found.joint)


def test_tarp_sees_what_no_column_shows():
    """Columns that hang together given the context, and a flow that thinks they do not: the ranks are uniform in each of them."""
    random = np.random.default_rng(0)
    x = random.multivariate_normal([0, 0], [[1, 0.95], [0.95, 1]], 1000)
    c = 0.3 * random.normal(size=(1000, 2))
    found = calibration(flow(), Rows(torch.from_numpy(x + c), torch.from_numpy(c)), ["a", "b"])
    assert [found.fault(ranks) for ranks in found.columns] == ["", ""] and found.fault(found.joint)


def test_whole_numbers_are_ranked_fairly():
    """Ties are broken at random: a flow of three values is calibrated if their probabilities are right."""

    class Rounded(Around):
        def inverse(self, z, context=None):
            return z.round().clamp(-1, 1), z.new_zeros(len(z))

    model = Flow(Normal((2,)), Rounded()).double()
    good = calibration(model, Rows(rows(3000, context=False).x.round().clamp(-1, 1)))
    assert not any(map(good.fault, good.columns))
    assert np.ptp(good.columns[0].counts) < 8 * math.sqrt(0.05 * 0.95 * good.noise)


@pytest.mark.parametrize("context", [True, False], ids=["conditional", "plain"])
def test_standard_errors_are_those_of_repetition(context, monkeypatch):
    """Over 200 repetitions a coverage scatters by its standard error (within three of the scatter's, 5 %), and is right on average."""
    monkeypatch.setattr(FILE, "SHARED", 2)  # so that the samples' own noise shows
    monkeypatch.setattr(FILE, "FEWEST_DRAWS", 1)
    found = [calibration(flow(context=context), rows(150, seed, context), seed=1000 + seed) for seed in range(200)]
    for level in (0.5, 0.9):
        coverage = np.array([one.columns[0].at(level) for one in found])
        assert coverage.std() / found[0].stderr(level) == pytest.approx(1, abs=0.15)
        assert abs(coverage.mean() - level) < 4 * found[0].stderr(level) / math.sqrt(200)
    shifts = np.array([one.columns[0].mean for one in found])
    assert shifts.std() / math.sqrt(found[0].noise / 12) == pytest.approx(1, abs=0.15)


def test_weights_count():
    """Rows of weight zero do not matter, and uneven weights leave more noise."""
    good, bad = rows(500, context=False), rows(500, 1, context=False)
    both = Rows(torch.cat([good.x, bad.x + 3]), None, torch.cat([torch.ones(500), torch.zeros(500)]))
    found = calibration(flow(context=False), both)
    assert not any(map(found.fault, found.columns)) and found.noise > 1 / 500


def test_slow_samplers_are_judged_by_fewer_rows(monkeypatch):
    """Drawing ends in time, and the figure says how many rows it is of."""
    clock = iter(range(10**6))
    monkeypatch.setattr(FILE, "time", SimpleNamespace(perf_counter=lambda: next(clock)))  # a second for each look
    found = calibration(flow(), rows(), seconds=7)
    assert found.rows == 2 + 4 + 8 and "of 14 rows" in found.words()
    assert calibration(flow(context=False), rows(context=False), seconds=7).draws == 99 * (2 + 4 + 8)


def test_what_can_not_be_ranked():
    assert calibration(flow(), rows(19)) is None
    assert calibration(flow(scale=math.nan, context=False), rows(context=False)) is None


def test_json_keeps_it_and_old_scores_load():
    found = calibration(flow(0.7), rows(200), ["a", "b"])
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found and found.to_json()["words"] == found.words()
    whole = Results([Score("maf", -1.0, 0.1, "exact", 1, 200)], "none", quantiles=[-2.0, 0.0], calibration=found).to_json()
    assert Results.from_json(json.loads(json.dumps(whole))).calibration == found
    del whole["calibration"]
    assert Results.from_json(whole).calibration is None


def gappy(share=0.5, scale=1.0):
    """A flow without context whose first column is missing so often, at random; its second one is a name."""

    class Gappy(Around):
        def inverse(self, z, context=None):
            x, ldj = super().inverse(z, context)
            absent = torch.rand(len(x), generator=torch.Generator().manual_seed(len(x))) < share
            return torch.stack([torch.where(absent, math.nan, x[:, 0]), x[:, 1].sign()], 1), ldj

    return Flow(Normal((2,)), Gappy(scale)).double()


@pytest.mark.parametrize(("scale", "fault"), [(1.0, ""), (0.7, "too narrow")])
def test_what_is_there_is_ranked_among_what_is_there(scale, fault):
    """Gaps take no part, whatever their share, and leave fewer rows and so a larger error; a category has no ranks."""
    held = rows(4000, context=False).x
    held[:3000, 0] = math.nan
    supports = [Support(missing=True), Support(ordered=False, whole=True, low=-1, high=1)]
    found = calibration(gappy(scale=scale), Rows(held), ["a", "b"], supports=supports)
    assert [ranks.name for ranks in found.columns] == ["a"]
    (a,) = found.columns
    assert found.fault(a) == fault
    assert found.stderr(0.9, a) == pytest.approx(math.sqrt(0.09 * (1 / 1000 + 1 / 10_000)), rel=0.05) and found.stderr(
        0.9, a
    ) > found.stderr(0.9)
    assert abs(a.at(0.9) - math.erf(1.6448536 * scale / math.sqrt(2))) < 4 * found.stderr(0.9, a)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_gaps_where_there_should_be_none_are_no_numbers():
    held = Rows(rows(context=False).x)
    assert calibration(gappy(), held) is None
    assert calibration(gappy(), held, supports=[Support(ordered=False), Support(ordered=False)]) is None, "names have no ranks"
