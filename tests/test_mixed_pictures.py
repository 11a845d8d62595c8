"""Pictures of tables of any kinds: what they show is what is there, gaps included."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from figures import words_stay_inside  # noqa: F401  (on by itself)
from mixed import WORDS, mixed_data, started

from pushforward.data import Column
from pushforward.data.kinds import Category, DecimalGrid, Integer, Maybe, Real
from pushforward.evaluation import evaluate, settled
from pushforward.plots import marginals, missingness, mixed_pairs, save, table_figures
from pushforward.plots.dependence import dependent, information
from pushforward.plots.explained import nats_of_columns
from pushforward.plots.histograms import gap
from pushforward.plots.levels import Levels
from pushforward.plots.style import figure, label_axis, style
from pushforward.questions import Exact

WORD = Column("word", Maybe.around(Category(dtype="string", vocabulary=tuple(WORDS))))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_levels_are_the_frequent_words_then_others_then_gaps():
    x = np.array([3.0] * 5 + [7.0] * 4 + [0.0] * 2 + [9.0] + [np.nan] * 4)
    levels = Levels.of(WORD, x, 3)
    assert levels.names == ["word 3", "word 7", "other", "missing"]
    np.testing.assert_allclose(levels.shares(x), [5 / 16, 4 / 16, 3 / 16, 4 / 16])
    grade = Column("grade", Integer(low=1, high=3))
    assert Levels.of(grade, np.array([3.0, 3.0, 1.0])).names == ["1", "2", "3"], "what has an order keeps it"


def test_gaps_count_in_how_far_samples_are_off():
    x, fuller = np.array([0.0, 1.0, np.nan, np.nan]), np.array([0.0, 1.0, 0.0, 1.0])
    assert gap(x, fuller, WORD) == gap(x, fuller, Column("x", Maybe.around(Real()))) == pytest.approx(0.5)
    assert gap(x, x, WORD) == 0


def test_bars_are_shares():
    """A bar for each of the frequent words and its line, rows that are missing among them; a number's gaps stand beside its histogram."""
    x = np.stack([np.repeat([0.0, 1.0, np.nan], [60, 30, 10]), np.repeat([1.0, np.nan], [80, 20])], 1)
    samples = np.stack([np.repeat([0.0, 1.0], [50, 50]), np.repeat([1.0, np.nan], [60, 40])], 1)
    words, numbers = marginals(x, samples, [WORD, Column("x", Maybe.around(Integer(low=0)))]).axes
    bars = {name: bar.get_width() for name, bar in zip(texts(words), words.patches, strict=True)}
    assert bars["word 0"] == 0.6 and bars["word 1"] == 0.3 and bars["missing"] == pytest.approx(0.1)
    lines = {name: line[0, 0] for name, line in zip(texts(words), words.collections[0].get_segments(), strict=True)}
    assert lines["word 0"] == lines["word 1"] == 0.5 and lines["missing"] == 0
    (beside,) = numbers.child_axes
    assert [bar.get_height() for bar in beside.patches] == [1, 0.2] and texts(beside) == ["missing 20 %"]
    assert beside.collections[0].get_segments()[0][0, 1] == 0.4


def test_many_columns_begin_with_those_that_differ_most():
    rng = np.random.default_rng(0)
    x, columns = rng.standard_normal((200, 5)), [Column(f"c{i}") for i in range(5)]
    picture = marginals(x, x + np.array([0, 0, 2, 0, 1]), columns, most=2)
    assert [ax.get_xlabel() for ax in picture.axes] == ["c2", "c4"]
    assert "2 of 5 columns that differ most" in picture.legends[0].get_title().get_text()


def test_an_axis_of_a_grid_speaks_its_units():
    with style():
        ax = figure(3, 2).add_subplot()
        ax.set_xlim(-300, 1000)
        label_axis(ax, "x", Column("price", Maybe.around(DecimalGrid(unit=1, digits=2))))
        labels = {label.get_text(): tick for label, tick in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)}
        assert len(labels) > 3 and any("−" in words for words in labels)
        assert all(float(words.replace("−", "-")) == tick / 100 for words, tick in labels.items())


def test_information_is_that_of_the_table():
    """Two equal fair coins: log 2; independent ones: 0; and the most telling pair comes first, gaps or not."""
    rng = np.random.default_rng(0)
    coin = rng.integers(0, 2, 4000)
    assert information(coin, coin) == pytest.approx(np.log(2), abs=1e-3)
    assert information(coin, rng.integers(0, 2, 4000)) < 1e-3
    data = mixed_data()
    shown = dependent(data.train.x.numpy(), data.schema.columns)
    assert set(shown[0]) <= {0, 1, 2}, "word, half and price hang together"
    assert len(set(shown)) == len(shown)


def test_pairs_of_any_kinds(tmp_path):
    """One picture shows categories, numbers and what is between; a category's median is where it is, and samples may lack all of it."""
    rng = np.random.default_rng(0)
    word = np.repeat([0.0, 1.0], 100)
    x = np.stack([word, word, 10 * word + rng.random(200), rng.random(200)], 1)
    columns = [WORD, Column("bit", Integer(low=0, high=1)), Column("a"), Column("b")]
    empty = np.full((3, 4), np.nan)
    empty[:, 1] = 0
    for samples in (x, empty):
        picture = mixed_pairs(x, samples, columns, [(0, 1), (2, 0), (2, 3)])
        save(picture, tmp_path / "pairs.png")
    titles = [ax.get_title(loc="left") for ax in picture.axes]
    assert [title for title in titles if title] == ["word × bit", "word × a", "a × b"]
    first = mixed_pairs(x, x, columns, [(2, 0)]).axes[0]
    dots = sorted((line.get_ydata()[0], line.get_xdata()[0]) for line in first.lines)
    assert [round(place) for place, _ in dots] == [0, 0, 1, 1]
    np.testing.assert_allclose([at for _, at in dots], np.repeat([np.median(x[:100, 2]), np.median(x[100:, 2])], 2))


def test_what_is_missing_together():
    x = np.zeros((10, 3))
    x[:4, :2] = np.nan
    x[4:5, 0] = np.nan
    columns = [Column(name, Maybe.around(Real())) for name in "abc"]
    together, dots, each = missingness(x, np.zeros((10, 3)), columns).axes
    assert [bar.get_height() for bar in together.patches] == [0.4, 0.1, 0, 0]
    assert [label.get_text() for label in dots.get_yticklabels()] == ["a", "b"], "c has no gaps"
    assert [bar.get_width() for bar in each.patches] == [0.5, 0.4, 0, 0]
    assert together.get_title(loc="left") == "complete: 50.0 % of the data and 100.0 % of samples"


def test_nats_of_columns_add_up():
    """Given the columns before it: their sum is the score. Alone: what the model starts with, when nothing explains anything yet."""
    data = mixed_data()
    flow = started(data)
    alone, chain = nats_of_columns(Exact(flow), flow, data.train, data.test)
    assert chain.sum() == pytest.approx(evaluate(flow, data.test).nats, abs=1e-4)
    np.testing.assert_allclose(alone, chain, atol=1e-4)


def test_the_pictures_of_a_mixed_table(tmp_path):
    data = mixed_data()
    flow = started(data)
    with settled(flow, 0):
        found = {picture.name: picture for picture in table_figures(flow, data)}
    assert list(found) == ["pairs", "missingness", "marginals", "explained", "likelihoods"]
    assert "not finite" not in found["marginals"].caption, "a gap is no lost sample"
    nats, bits = re.search(r"probabilities: −(\S+) nats, (\S+) bits", found["explained"].caption).groups()
    assert float(bits) == pytest.approx(float(nats) / np.log(2), abs=0.02)
    for picture in found.values():
        save(picture.figure, tmp_path / f"{picture.name}.png")


def test_a_mixed_table_of_two_columns_or_one():
    data = mixed_data(columns=["word", "height"])
    assert [picture.name for picture in table_figures(started(data), data)][:2] == ["pairs", "missingness"]
    data = mixed_data(columns=["half <b>"])
    assert [picture.name for picture in table_figures(started(data), data)] == ["marginals", "explained", "likelihoods"]
    data = mixed_data(columns=["height", "price"], context=["word"])
    with torch.no_grad():
        assert "conditionals" in [picture.name for picture in table_figures(started(data), data)]
