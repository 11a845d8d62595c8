"""Pictures as densities of the plane: what is drawn, where, and that its entropy is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from pushforward.data import DataError, load
from pushforward.data.image_density import PICTURES, absolute, image_density
from pushforward.data.request import where
from pushforward.data.toy import SIZES
from pushforward.verbs import list_data

SHADES = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "shades.png"
    Image.fromarray(SHADES).save(path)
    return path


@pytest.mark.parametrize("option, weights", [("", SHADES / 750), ("?dark", (250.0 - SHADES) / 750)])
def test_pixels_are_as_likely_as_they_are_bright_or_dark(png, option, weights):
    picture = image_density(f"image:{png}{option}")
    np.testing.assert_allclose(picture.mass, weights)
    p = weights[weights > 0]
    assert picture.entropy == pytest.approx(-(p * np.log(p)).sum() + math.log(1 / 9))
    x = picture.draw(200_000, np.random.default_rng(0))
    assert (x >= 0).all() and (x < [1, 2 / 3]).all()
    counts, *_ = np.histogram2d(x[:, 0], x[:, 1], [3, 2], [[0, 1], [0, 2 / 3]])
    np.testing.assert_allclose(np.flipud(counts.T) / len(x), weights, atol=0.004)  # four standard deviations; y points upwards
    inside = x % (1 / 3) * 3
    np.testing.assert_allclose(np.histogram(inside, 10, (0, 1))[0] / inside.size, 0.1, atol=0.002)


def test_entropy_is_what_the_true_density_scores(png):
    picture = image_density(f"image:{png}")
    x = picture.draw(100_000, np.random.default_rng(1))
    row, column = 1 - (x[:, 1] * 3).astype(int), (x[:, 0] * 3).astype(int)
    log_prob = np.log(picture.mass[row, column] / picture.side**2)
    assert -log_prob.mean() == pytest.approx(picture.entropy, abs=4 * log_prob.std() / 100_000**0.5)


def _saved(tmp_path, kind):
    grey = Image.fromarray(SHADES)
    path = tmp_path / f"it.{kind.split('-')[0]}"
    if kind == "png-colour":
        Image.merge("RGB", [grey] * 3).save(path)
    elif kind == "png-palette":
        grey.convert("P").save(path)
    elif kind == "png-deep":
        Image.fromarray(SHADES.astype(np.uint16) * 200).save(path)
    elif kind == "png-opacity":
        Image.merge("LA", [Image.new("L", grey.size, 255), grey]).save(path)
    elif kind == "npy":
        np.save(path, SHADES / 250)
    else:
        grey.resize((48, 32), Image.Resampling.NEAREST).save(path, quality=100)
    return path


@pytest.mark.parametrize("kind", ["png-colour", "png-palette", "png-deep", "png-opacity", "npy", "jpg", "tiff"])
def test_formats(tmp_path, kind):
    mass = image_density(f"image:{_saved(tmp_path, kind)}").mass
    height, width = mass.shape
    blocks = mass.reshape(2, height // 2, 3, width // 3).sum((1, 3))
    np.testing.assert_allclose(blocks, SHADES / 750, atol=2e-3 if kind == "jpg" else 1e-12)


def test_load(png):
    data = load(f"image:{png}", seed=3)
    assert data.name == "shades.png" and data.schema.names == ["x", "y"]
    assert (len(data.train), len(data.valid), len(data.test)) == SIZES
    assert data.entropy == image_density(f"image:{png}").entropy
    assert any("3 x 2 pixels" in note and "bright pixels are likely" in note for note in data.notes)
    again, other = load(f"image:{png}", seed=3), load(f"image:{png}", seed=4)
    assert (data.train.x == again.train.x).all() and not (data.train.x == other.train.x).all()
    assert load(f"image:{png}", columns=["x"]).entropy is None


def test_the_face():
    data = load("image:face")
    assert data.name == "face" and data.entropy == pytest.approx(-0.5596, abs=1e-3)
    wide, high = data.train.x.numpy().max(0)
    assert 0.999 * 512 / 600 < wide <= 512 / 600 and 0.999 < high <= 1
    assert "image:face" in PICTURES and "image:face" in list_data()


def test_a_run_finds_its_picture_from_another_folder(png, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = where("image:shades.png?dark")  # what config.toml gets
    monkeypatch.chdir("/")
    assert load(source).entropy == load(f"image:{png}?dark").entropy
    assert absolute("image:face?dark") == "image:face?dark"


def _bad(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content)
    return path


ERRORS = {
    "missing": (lambda folder: f"image:{folder}/no.png", "there is no picture"),
    "folder": (lambda folder: f"image:{folder}", "there is no picture"),
    "nothing": (lambda folder: "image:", "there is no picture"),
    "name": (lambda folder: "image:fase", "did you mean 'face'"),
    "option": (lambda folder: "image:face?drak", r"unknown option 'drak'; write image:face, or image:face\?dark"),
    "constant": (lambda folder: f"image:{_bad(folder, 'a.npy', np.ones((4, 5)))}", "all 20 pixels are 1"),
    "no picture": (lambda folder: f"image:{_bad(folder, 'a.png', b'text')}", r"can't be read as an image \(of no known format\)"),
    "cut off": (lambda folder: f"image:{_bad(folder, 'a.png', _cut(folder))}", "can't be read as an image"),
    "no array": (lambda folder: f"image:{_bad(folder, 'a.npy', b'text')}", "can't be read as .npy"),
    "three axes": (
        lambda folder: f"image:{_bad(folder, 'a.npy', np.ones((4, 5, 3)))}",
        r"numbers \(height, width\), got float64 \(4, 5, 3\)",
    ),
    "negative": (lambda folder: f"image:{_bad(folder, 'a.npy', np.array([[1.0, -1.0]]))}", "not negative; the least is -1"),
    "nan": (lambda folder: f"image:{_bad(folder, 'a.npy', np.array([[1.0, np.nan]]))}", "must be finite"),
    "forgotten prefix": (lambda folder: str(folder / "photo.JPG"), "write image:.*photo.JPG"),
}


def _cut(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(folder / "whole.png")
    return (folder / "whole.png").read_bytes()[:2000]


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, tmp_path):
    make, message = ERRORS[name]
    with pytest.raises(DataError, match=message) as error:
        load(make(tmp_path))
    assert "\n" not in str(error.value)
