"""Figures say what they draw: conditional densities are the mixture they claim, and no word leaves its figure."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from figures import cut_words, words_stay_inside  # noqa: F401  (the second is on by itself)
from scipy import stats

import pushforward.plots
from pushforward import Flow, Transform
from pushforward.data import load
from pushforward.distributions import Normal
from pushforward.plots import Exhibit, exhibition, save, sheets, wall
from pushforward.plots.density import EVALUATIONS, contexts_of, density
from pushforward.plots.style import figure, style


class Shift(Transform):
    """``z = x - c``: given c, x is a standard normal around it."""

    def forward(self, x, context=None):
        return x - context, x.new_zeros(len(x))

    def inverse(self, z, context=None):
        return z + context, z.new_zeros(len(z))


def given(dim=1):
    return Flow(Normal((dim,)), Shift(), context=dim).double()


@pytest.mark.parametrize("words", [3, 4000], ids=["few contexts", "many contexts"])
def test_a_conditional_density_is_the_mixture_over_the_rows(words):
    """The density of N(c, 1) over the rows' own c, however they are ordered; few distinct ones to the last digit."""
    c = np.random.default_rng(0).gamma(0.7, 3, (5000, 1))
    c = np.round(c.clip(0, 2)) if words == 3 else c
    points = np.linspace(-4, 20, 600)[:, None]
    true = stats.norm.pdf(points, c.T).mean(1)
    contexts = contexts_of(given(), torch.from_numpy(c), len(points))
    assert contexts.weights.sum().item() == pytest.approx(1)
    assert contexts.words == (
        "the contexts of all 5,000 rows" if words == 3 else "the contexts of 1,747 of the 5,000 rows, evenly spaced in their order"
    )
    found = density(given(), points, contexts)
    weight = contexts.weights.max().item()
    np.testing.assert_allclose(found, true, rtol=1e-12, atol=0 if words == 3 else 0.5 * weight * stats.norm.pdf(0))
    first = density(given(), points, contexts_of(given(), torch.from_numpy(c[:16]), len(points)))
    assert abs(first - true).max() > 0.02 * true.max(), "sixteen rows do not stand for all of them"


def test_what_a_density_costs_is_bounded():
    contexts = contexts_of(given(2), torch.randn(30_000, 2, dtype=torch.float64), 100**2)
    assert len(contexts.weights) * 100**2 <= EVALUATIONS
    assert len(contexts_of(given(), torch.randn(50, 1), 2 * EVALUATIONS).weights) == 1


def test_an_unconditional_density_is_itself():
    points = np.random.default_rng(0).normal(size=(20_000, 1))
    np.testing.assert_allclose(density(Flow(Normal((1,))).double(), points), stats.norm.pdf(points[:, 0]))


EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_write_where_they_are_told(path):
    """No figure of the pages is drawn anew because somebody tried an example."""
    text = path.read_text()
    assert "docs/" not in text and ('"--out"' in text) == ("save(" in text)


def test_titles_of_many_panels_are_whole(tmp_path):
    """Six maps in a row, with titles of twenty letters; two models on a wall, with names and options as long as they may be."""
    example = runpy.run_path(str(EXAMPLES[[path.stem for path in EXAMPLES].index("one_dimensional")]))
    flows = example["maps"]()
    rng = np.random.default_rng(0)
    save(example["side_by_side"](flows, dict.fromkeys(flows, 0.018), example["draw"](500, rng)), tmp_path / "maps.png")
    data = load(rng.normal(size=(400, 2)))
    flow = Flow(Normal((2,)), *data.schema.layers()).eval()
    exhibits = [Exhibit(f"mixture_cdf:components={i}0,width=512", flow, -12345.678, gap) for i, gap in enumerate([None, 0.018])]
    x = data.test.x[:300].numpy()
    save(wall({"a name of data that is long": (x, data.schema.columns, exhibits)}), tmp_path / "wall.png")
    save(exhibition("a name of data that is long", x, data.schema.columns, exhibits[:1]), tmp_path / "one.png")


def test_cut_words_are_found(tmp_path):
    """What the check is for: titles that run out of the figure, and into each other."""
    with style():
        picture = figure(4, 2)
        for ax in picture.subplots(1, 2):
            ax.set_title("far too long for two inches")
    found = cut_words(picture)
    assert "far too long for two inches" in found and any(" over " in words for words in found)


@pytest.mark.parametrize("count", [1, 3, 5, 64])
def test_few_images_fill_their_figure(count, tmp_path):
    """No more than 3 % of the width is empty at a side, of the height 6 % (below) and a title (above)."""
    x = np.random.default_rng(0).random((count, 64))
    path = save(sheets(x, x, (8, 8), 0.0, 1.0), tmp_path / "images.png")
    ink = (matplotlib.image.imread(path)[..., :3] < 0.99).any(2)
    down, across = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    assert max(across[0], ink.shape[1] - across[-1]) < 0.03 * ink.shape[1]
    assert ink.shape[0] - down[-1] < 0.06 * ink.shape[0] and down[0] < 20


def test_no_file_hides_a_picture():
    """``plots.coverage`` would be the file, once another file had imported it, if the file were called like its picture."""
    files = {path.stem for path in Path(pushforward.plots.__path__[0]).glob("*.py")}
    assert not files & set(pushforward.plots.__all__)
