"""Figures and the report: they are written, they show something, the page stands alone, and nothing of matplotlib's is changed."""

from __future__ import annotations

import html
import importlib
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.image
import numpy as np
import pyarrow as pa
import pytest
import torch
from figures import words_stay_inside  # noqa: F401  (on by itself)
from mixed import mixed_data, started

import pushforward.plots
import pushforward.report
from pushforward import Flow
from pushforward.data import load
from pushforward.distributions import Normal
from pushforward.doctor import Diagnosis, Finding, diagnose
from pushforward.evaluation import Results, Score, TwoSample, calibration, evaluate, verdict
from pushforward.nets import MLP
from pushforward.plots import learning_curves, save, score_dots, sheets, telling, training_pictures, uniformity
from pushforward.plots.style import edges, limits, number
from pushforward.report import write_report
from pushforward.transforms import Coupling, Dequantize, Elementwise
from pushforward.univariate import Affine
from pushforward.usage import questions_of

METRICS = [{"step": 10 * i, "loss": 3.0 + 9 / i, "valid": 3.1 + 8 / i, "lr": 1e-3, "seconds": i} for i in range(1, 30)]


def stand_in(data, path, flow=None):
    """A run with this flow, or the least one that the data's preprocessing and context allow."""
    config = {"data": {"source": data.name}, "model": {"name": "affine <script>"}, "train": {"lr": 0.001}}
    return SimpleNamespace(path=path, flow=flow or least(data), config=config, schema=data.schema, metrics=lambda: METRICS)


def least(data):
    torch.manual_seed(0)
    dim, width = len(data.schema.columns), data.schema.context_width
    layers = [Elementwise(Affine(), (dim,))]
    if width:
        layers.append(Coupling([0] * dim, Affine(), MLP(width, 2 * dim)))
    flow = Flow(Normal((dim,)), *layers, context=width)
    flow = flow.prepend(*data.schema.layers(), shape=(dim,), context=data.schema.context_shape, embed=data.schema.embed())
    return flow.eval()


def mixed(rows=400):
    """Every kind of column, with awkward names."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal(rows)
    columns = {
        "a<b>": hidden,
        "visits & more": rng.poisson(2 + hidden**2),
        "$x_1$ of $y": np.exp(hidden + rng.standard_normal(rows)),
        "when": pa.array(1_600_000_000 + rng.integers(0, 400, rows) * 86_400, pa.timestamp("s")),
        "heavy": rng.standard_cauchy(rows),
    }
    return {"table": columns, "kinds": {"$x_1$ of $y": "positive"}, "origin": rng.choice(["E", "J", "L"], rows), "hour": rng.random(rows)}


def sources():
    m = mixed()
    table, kinds = m["table"], m["kinds"]
    two = {name: table[name] for name in ("a<b>", "visits & more")}
    return {
        "plane": lambda: load(np.random.default_rng(0).standard_normal((3000, 2))),
        "images": lambda: load("digits"),
        "one column": lambda: load(pa.table({"a<b>": table["a<b>"]})),
        "one integer, given text": lambda: load(pa.table({"n": table["visits & more"], "origin": m["origin"]}), context=["origin"]),
        "two, given a number": lambda: load(pa.table({**two, "hour": m["hour"]}), context=["hour"]),
        "mixed, given text": lambda: load(pa.table({**table, "origin": m["origin"]}), kinds=kinds, context=["origin"]),
    }


EXPECTED = {
    "plane": {"density", "warp", "marginals"},
    "images": {"images", "extremes"},
    "one column": {"density", "marginals"},
    "one integer, given text": {"density", "marginals", "conditionals"},
    "two, given a number": {"density", "warp", "marginals", "conditionals"},
    "mixed, given text": {"pairs", "marginals", "conditionals"},
}


class Page(HTMLParser):
    """Tags that were left open, and everything that a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br", "hr", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Densities of few contexts: what they are of is tested beside the other figures."""
    monkeypatch.setattr(importlib.import_module("pushforward.plots.density"), "EVALUATIONS", 2**15)


def pixels(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return matplotlib.image.imread(path)[..., :3]


@pytest.mark.parametrize("name", EXPECTED)
def test_report(name, tmp_path):
    """One file with nothing to load, all names escaped, and every expected picture in it and beside it, none of them blank."""
    data = sources()[name]()
    run = stand_in(data, tmp_path)
    scores = [
        evaluate(run.flow, data.test, schema=data.schema, name="affine <i>"),
        Score("Gaussian", -9.0, 0.1, "exact", 1, len(data.test)),
    ]
    before, state = dict(matplotlib.rcParams), torch.get_rng_state()
    ranked = calibration(run.flow, data.test, data.schema.names)
    path = write_report(run, data, Results(scores, verdict(scores), c2st=TwoSample(0.75, 0.01, 50), calibration=ranked))
    assert dict(matplotlib.rcParams) == before and torch.equal(torch.get_rng_state(), state)
    assert path == tmp_path / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and "script" not in page.tags
    assert page.loads and all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert not re.search(r"https?://|url\(|@import", re.sub(r"base64,[^']*", "", text))
    assert "affine &lt;script&gt;" in text and "affine &lt;i&gt;" in text and "0.750" in text
    for column in [*data.schema.columns, *data.schema.context]:
        assert column.name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text
    assert "a<b>" not in text and "<i>" not in text
    figures = {file.stem: file for file in (tmp_path / "figures").iterdir()}
    sure = {"coverage", "ranks"} if data.schema.context else {"coverage"}
    assert set(figures) == EXPECTED[name] | sure | {"learning", "scores", "uniformity", "likelihoods"}
    assert "in the central interval of each column" in text
    assert len(page.loads) == len(figures)
    for file in figures.values():
        assert pixels(file).std() > 0.03, file.name


def test_a_mixed_table(tmp_path):
    """Every kind in its own words, what is missing, what can be asked, and the doctor on codes."""
    data = mixed_data()
    run = stand_in(data, tmp_path, started(data))
    score = evaluate(run.flow, data.test, schema=data.schema)
    ranked = calibration(run.flow, data.test, data.schema.names, supports=[column.kind.support() for column in data.schema.columns])
    found = diagnose(run.flow, data.test, data.schema, ranked=ranked, notes=data.notes)
    path = write_report(run, data, Results([score], "none", calibration=ranked), found)
    text = re.sub(r"base64,[^']*", "", path.read_text(encoding="utf-8"))
    assert Page(text).open == []
    for words in ("categories, 2 values: high, low", "multiples of 0.25", "with gaps", "always", "half &lt;b&gt;", "random orders"):
        assert words in text, words
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in text.split("<tr>") if "modelled" in line]
    assert [row[0] for row in rows] == [html.escape(name) for name in data.schema.names]
    share = 100 * data.train.x[:, data.schema.names.index("height")].isnan().double().mean().item()
    assert next(row for row in rows if row[0] == "height")[-1] == f"{share:.1f} %"
    assert "treated by" not in text, "nothing is done to a column before its codes"
    for line in questions_of(run):
        assert html.escape(line) in text
    assert {file.stem for file in (tmp_path / "figures").iterdir()} >= {"pairs", "missingness", "marginals", "explained", "coverage"}


def test_what_can_be_asked(tmp_path):
    """Lines of a shell, with names and values as they are, for flows that answer; none where there is one column, or images."""
    data = mixed_data()
    run = stand_in(data, tmp_path, started(data))
    lines = [shlex.split(line) for line in questions_of(run, "my table.csv")]
    assert [line[1] for line in lines] == ["sample", "impute", "predict", "evaluate"]
    assert lines[0][3:5] == ["--given", "word=word 0"] and lines[2][4:6] == ["--column", "member"] and "my table.csv" not in lines[0]
    flow = load(np.random.default_rng(0).standard_normal((300, 2)))
    assert len(questions_of(stand_in(flow, tmp_path))) == 4, "by samples"
    one = mixed_data(columns=["word"])
    assert questions_of(stand_in(one, tmp_path, started(one))) == []
    random = stand_in(flow, tmp_path)
    random.flow.transform.transforms.append(Dequantize())
    assert questions_of(random) == [], "layers that are random behind the preprocessing answer nothing"


def test_pyplot_stays_out():
    """Drawing needs no pyplot, and so no backend: nothing of the user's can change."""
    for file in [*Path(pushforward.plots.__path__[0]).glob("*.py"), Path(pushforward.report.__file__)]:
        assert not re.search(r"import.*pyplot|matplotlib\.use", file.read_text(encoding="utf-8")), file


def test_diagnosis_and_missing_parts(tmp_path):
    """The doctor's words are escaped; a run without metrics, with impossible rows and without baselines still gets its page."""
    data = load(np.random.default_rng(0).standard_normal((120, 3)))
    run = stand_in(data, tmp_path)
    run.metrics = lambda: []
    doubtful = Diagnosis([], [Finding("warn", "column a<b: looks discrete")])
    score = Score("flow", -np.inf, np.nan, "bound", 4, 12, impossible=2, possible_nats=-3.0)
    text = write_report(run, data, Results([score], "nothing"), doubtful).read_text(encoding="utf-8")
    assert "column a&lt;b: looks discrete" in text and "−∞" in text
    assert not {"learning", "scores"} & {file.stem for file in (tmp_path / "figures").iterdir()}
    with pytest.raises(ValueError, match="expected the flow's score"):
        write_report(run, data, Results([], ""))


def test_samples_that_are_not_finite(tmp_path):
    """A diverged flow is reported, not crashed on, and the page says how many samples were lost."""
    data = load(np.random.default_rng(0).standard_normal((300, 2)))
    run = stand_in(data, tmp_path)
    with torch.no_grad():
        run.flow.transform.transforms[-1].h[:, 0] = torch.nan
    text = write_report(run, data, Results([Score("flow", -np.inf, np.nan, "exact", 1, 30)], "")).read_text(encoding="utf-8")
    assert "300 of as many samples are not finite" in text


def test_a_figure_is_the_same_file_twice(tmp_path):
    one, two = (save(learning_curves(METRICS, {"Gaussian": -4.0}), tmp_path / f"{i}.png").read_bytes() for i in (0, 1))
    assert one == two


def test_learning_curves_show_likelihoods():
    """Losses are turned over, so that up is better, and what is not finite is passed over."""
    metrics = [*METRICS, {"step": 300, "loss": float("nan"), "valid": None}]
    ax = learning_curves(metrics, {"Gaussian": -4.0}).axes[0]
    assert any(np.allclose(line.get_ydata(), [-m["valid"] for m in METRICS]) for line in ax.lines if len(line.get_ydata()) == len(METRICS))
    assert any(np.allclose(line.get_ydata(), -4.0) for line in ax.lines)


@pytest.mark.parametrize("objective", ["likelihood", "flow_matching"])
def test_a_loss_that_is_no_likelihood_is_not_drawn_as_one(objective):
    run = SimpleNamespace(config={"train": {"objective": objective}}, metrics=lambda: METRICS)
    (picture,) = training_pictures(run, None, [Score("flow", -3.0, 0.1, "exact", 1, 10)])
    words = " ".join(text.get_text() for text in picture.figure.axes[0].texts) + picture.caption
    assert ("training  " in words and "training batches" in words) == (objective == "likelihood") and "validation, best" in words


def test_score_dots_are_in_order():
    scores = [
        Score(name, nats, 0.1, "exact", 1, 10) for name, nats in (("flow", -2.0), ("worse", -3.0), ("better", -1.0), ("never", -np.inf))
    ]
    labels = [label.get_text() for label in score_dots(scores).axes[0].get_yticklabels()]
    assert labels == ["never", "worse", "flow", "better"]


def test_uniformity_counts_bars_outside_the_band():
    """Normal latents leave the 95 % band about one time in twenty, shifted ones often."""

    def outside(z):
        title = uniformity(z).get_suptitle()
        return float(re.search(r"([\d.]+) % of all bars", title)[1])

    z = np.random.default_rng(0).standard_normal((4000, 30))
    assert 2 <= outside(z) <= 9
    assert outside(z + 0.3) > 60
    assert outside(1.3 * z) > 60


def test_images_in_colour():
    """(3, H, W) rows become colour pictures."""
    x = np.random.default_rng(0).random((5, 3 * 4 * 4))
    image = sheets(x, x, (3, 4, 4), 0.0, 1.0, side=2).axes[0].images[0].get_array()
    np.testing.assert_allclose(image[:4, :4], x[0].reshape(3, 4, 4).transpose(1, 2, 0))


def test_limits():
    """A heavy tail is cut, a light one kept; whole numbers stand in the middle of their bins."""
    x = np.random.default_rng(0).standard_normal(10_000)
    low, high = limits(np.append(x, 1e9))
    assert -5 < low < -2 and 2 < high < 5
    low, high = limits(np.linspace(0, 1, 100))
    assert low < 0 and high > 1
    assert limits(np.zeros(4)) == (-0.5, 0.5) and limits(np.array([np.nan])) == (0.0, 1.0)
    np.testing.assert_allclose(edges(-0.2, 3.4, True, 10), [-0.5, 0.5, 1.5, 2.5, 3.5])
    wide = edges(0, 99, True, 10)
    assert len(wide) == 11 and wide[0] == -0.5 and wide[-1] == 99.5


def test_telling_columns_are_the_dependent_ones():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 20))
    x[:, 7] = x[:, 3] ** 3
    x[:, 15] = -x[:, 3]
    assert {3, 7, 15} <= set(telling(x, 4)) and telling(x[:, :5]) == [0, 1, 2, 3, 4]


def test_number():
    assert [number(x) for x in (-1234.5678, 2.0, -np.inf, np.inf, np.nan)] == ["−1,234.568", "2.000", "−∞", "∞", "not a number"]
