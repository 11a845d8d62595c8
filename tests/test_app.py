"""What the page asks of a run: pictures, conditionals, scores; and that it says what is wrong. The browser is in test_page.py."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from mixed import mixed_table
from PIL import Image

import pushforward as pf
from pushforward.app import ImageRoom, PlaneRoom, TableRoom
from pushforward.app.image_room import sheet
from pushforward.cli import main

QUICK = {"report": False, "progress": False}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def images(places):
    options = ["model.scales=1", "model.steps=1", "model.width=8", "train.steps=10", "train.batch=32"]
    run = pf.fit("digits", "glow", out=places / "glow", options=options, **QUICK)
    return ImageRoom(run, run.schema)


@pytest.fixture(scope="module")
def pixels(places):
    options = ["model.width=8", "model.depth=1", "train.steps=10", "train.batch=32"]
    run = pf.fit("digits", "pixel_cnn", out=places / "pixels", options=options, **QUICK)
    return ImageRoom(run, run.schema)


@pytest.fixture(scope="module")
def table(places):
    options = ["model.width=16", "model.depth=1", "train.steps=10"]
    run = pf.fit(mixed_table(), "any_order", out=places / "table", options=options, missing="keep", **QUICK)
    return TableRoom(run, run.schema)


@pytest.fixture(scope="module")
def plane(places):
    run = pf.fit("moons", "real_nvp", out=places / "plane", options=["train.steps=20"], **QUICK)
    return PlaneRoom(run, run.schema)


def test_samples_follow_the_seed_and_the_temperature(images):
    one, again, other, cold = (images.samples(t, seed, 4) for t, seed in ((1.0, 0), (1.0, 0), (1.0, 1), (0.0, 0)))
    assert one.shape == (2 * 64 + 2, 2 * 64 + 2, 3) and one.dtype == np.uint8
    assert (one == again).all() and (one != other).any()
    tiles = [cold[a : a + 64, b : b + 64] for a in (0, 66) for b in (0, 66)]
    assert all((tile == tiles[0]).all() for tile in tiles), "at temperature 0 all samples are the middle"


def test_a_path_begins_and_ends_with_its_images(images):
    first, second = images.image(0), images.image(1)
    path = images.between(first, second, steps=5)
    assert (path[:, :64] == images.shown(first)).all() and (path[:, -64:] == images.shown(second)).all()


def test_sliders_move_an_image_towards_its_labels(images):
    assert images.labels == [str(i) for i in range(10)]
    still = images.edited(0, images.image(0), [0.0] * 10)
    assert (still[:, :224] == still[:, 226:]).all(), "nothing moved: the image itself comes back"
    moved = images.edited(0, images.image(0), [1.0] + [0.0] * 9)
    assert (moved[:, :224] == still[:, :224]).all() and (moved[:, 226:] != still[:, 226:]).any()


def test_an_uploaded_image_is_cut_to_size_and_others_are_refused(images, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 16, (30, 20, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    assert images.image(0, str(tmp_path / "mine.png")).x.shape == (1, 1, 8, 8)
    (tmp_path / "not.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"not\.png|image"):
        images.image(0, str(tmp_path / "not.png"))


def test_completions_keep_what_is_kept(pixels):
    assert pixels.completes and not pixels.has_latent and pixels.labels == []
    made = pixels.completed(None, 4, 2, 0)
    whole, kept, drawn = made[:64, :64], made[:64, 66:130], made[:64, 132:196]
    assert (whole[:32] == kept[:32]).all() and (whole[:32] == drawn[:32]).all()
    assert pixels.samples(1.0, 0, 4).shape == (130, 130, 3)


def test_conditionals_of_a_table(table):
    picture, words = table.conditional("price", {"word": "word 1", "height": "", "when": None})
    assert picture.ndim == 3 and words.startswith("price given word = word 1 (exact): median")
    _, likely = table.conditional("half <b>", {"price": "0.5"})
    assert "most likely" in likely and likely.endswith("%")
    drawn = table.samples({"word": "word 1"}, 5, 0)
    assert drawn.num_rows == 5 and set(drawn["word"].to_pylist()) == {"word 1"}
    assert drawn.equals(table.samples({"word": "word 1"}, 5, 0))
    with pytest.raises(ValueError, match="word"):
        table.conditional("price", {"word": "no such word"})


def test_a_row_is_scored_and_the_unusual_cell_named(table):
    row = {"word": "word 0", "half <b>": "low", "price": "1.5", "height": "0.1", "when": "2020-12-01", "member": "true"}
    words, blame = table.scored(row)
    assert "of the training rows are less likely" in words and [cell[0] for cell in blame] != []
    assert [cell[2] for cell in blame] == sorted(cell[2] for cell in blame) and {cell[0] for cell in blame} == {*row}
    scored = pf.score(table.run, table.schema.decode(table._rows({name: [value] for name, value in row.items()})[0])).table
    assert float(words.split()[2]) == pytest.approx(scored["log_likelihood"][0].as_py(), abs=1e-3)
    some, nothing = table.scored({"price": "1.5"})
    assert some.startswith("log p of the 1 given values") and nothing == []
    with pytest.raises(ValueError, match="no value is given"):
        table.scored({})


def test_fields_offer_what_there_is(table):
    offered = {column.name: table.choices(column) for column in table.columns}
    assert offered["half <b>"] == ["high", "low"] and offered["price"] is None


def test_test_rows_fill_the_fields(places):
    pq.write_table(mixed_table(), places / "mixed.parquet")
    run = pf.fit(places / "mixed.parquet", "any_order", out=places / "file", options=["train.steps=2"], missing="keep", **QUICK)
    room = TableRoom(run, run.schema)
    assert len(room.examples) == 50
    for column in room.columns:
        held = {row[column.name] for row in room.examples}
        assert held <= {"", *(room.choices(column) or held)}
    assert "of the training rows are less likely" in room.scored(next(row for row in room.examples if all(row.values())))[0]


def test_points_go_from_the_data_to_the_latent(plane):
    assert len(plane.frames) == len(plane.names) + 1
    assert plane.density.shape[2] == 3 and len({frame.tobytes() for frame in plane.frames}) > 3
    carried = plane._carried(plane.rows.x)
    np.testing.assert_allclose(carried[-1], plane.flow.encode(plane.rows.x).detach().double().numpy(), atol=1e-5)


def test_a_sheet_has_each_pixel_as_a_square():
    images = np.arange(3 * 4, dtype=np.uint8).reshape(3, 1, 2, 2)
    found = sheet(images, 12, columns=2)
    assert found.shape == (130, 130, 3)
    assert (found[:32, :32] == 0).all() and (found[:32, 32:64] == round(255 / 11)).all() and (found[66:, 66:] == 255).all()


def test_without_gradio_the_remedy_is_said(table, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "pushforward.app.page", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["app", str(table.run.path)])
    assert ended.value.code == 2 and "pip install 'pushforward[app]'" in capsys.readouterr().err
