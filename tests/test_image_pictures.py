"""Pictures of images and the verbs that draw them: files to the pixel, words that say what is seen, errors that say what is wrong."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from figures import words_stay_inside  # noqa: F401  (on by itself)
from PIL import Image

from pushforward import latent, plots, verbs
from pushforward.cli import main
from pushforward.data import Column, DataError, ImageSchema, load_images
from pushforward.data.kinds import Category
from pushforward.models.build import build
from pushforward.plots import to_bytes
from pushforward.training import Run

RNG = np.random.default_rng(0)
COUNT = 90


def labels() -> list[str]:
    return ["dark" if i % 3 else "light" for i in range(COUNT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Coloured 8 x 8 images of two labels, as a file, and two runs of a small untrained Glow: plain, and given the label."""
    path = tmp_path_factory.mktemp("pictures")
    light = np.array([name == "light" for name in labels()])
    x = RNG.integers(0, 128, (COUNT, 8, 8, 3)) + 100 * light[:, None, None, None]
    images = []
    for image in x.astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    table = {"image": images, "label": labels(), "bright": light.tolist()}
    pq.write_table(pa.table(table), path / "images.parquet")
    pq.write_table(pa.table({"image": images}), path / "bare.parquet")
    Image.fromarray(x[0].astype(np.uint8)).save(path / "a.png")
    Image.fromarray(np.kron(x[1], np.ones((3, 3, 1))).astype(np.uint8)).save(path / "b.png")
    for name, context in (("plain", []), ("given", [Column("label", Category(dtype="string", vocabulary=("dark", "light")))])):
        make(path / name, path / "images.parquet", ImageSchema((3, 8, 8), 256, context))
    make(path / "bare", path / "bare.parquet", ImageSchema((3, 8, 8), 256))
    return path


def make(path, source, schema) -> None:
    data = {"source": str(source), "name": "images", "seed": 0} | ({"context": ["label"]} if schema.context else {})
    config = {"data": data, "model": {"name": "glow", "scales": 2, "steps": 1, "width": 6}, "train": {"batch": 8}}
    run = Run.create(path, config, schema)
    torch.manual_seed(0)
    flow = build(run.config, schema)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    run.save(flow)


@pytest.fixture
def cli(capsys):
    """Runs the command line in this process and gives ``(exit code, stdout, stderr)``."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def picture(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_levels_spread_over_bytes():
    assert to_bytes(np.arange(17).reshape(17, 1, 1, 1), 17).ravel().tolist() == [round(255 * v / 16) for v in range(17)]
    every = np.arange(256).reshape(256, 1, 1, 1)
    assert (to_bytes(every, 256) == every).all()
    for bits in range(1, 9):  # read with so many bits, the file gives the numbers back
        v = np.arange(2**bits).reshape(-1, 1, 1, 1)
        assert (to_bytes(v, 2**bits) >> (8 - bits) == v).all()
    with pytest.raises(ValueError, match="at least one image"):
        to_bytes(every[:0], 256)


@pytest.mark.parametrize("channels", [1, 3])
def test_contact_sheet_is_exact(tmp_path, channels):
    x = RNG.integers(0, 256, (5, channels, 4, 6))
    sheet = np.asarray(Image.open(plots.contact_sheet(x, 256, tmp_path / "s.png", columns=3, scale=2)))
    assert sheet.shape == ((16, 36, 3) if channels == 3 else (16, 36))
    for i in range(5):
        top, left = i // 3 * 8, i % 3 * 12
        part = sheet[top : top + 8 : 2, left : left + 12 : 2]
        assert (part == (x[i].transpose(1, 2, 0) if channels == 3 else x[i, 0])).all()
        assert (part == sheet[top + 1 : top + 8 : 2, left + 1 : left + 12 : 2]).all()
    assert (sheet[8:, 24:] == 255).all(), "the empty place"
    assert np.asarray(Image.open(plots.contact_sheet(x, 256, tmp_path / "d.png"))).shape[:2] == (2 * 4 * 11, 3 * 6 * 11)


def test_strips_show_every_pixel(tmp_path):
    """Each image is found in the picture, each of its pixels as a square of one colour; data are framed in blue."""
    x = RNG.integers(0, 32, (2, 3, 3, 8, 8))
    seen = picture(plots.save(plots.strips(x, 32, columns=["one", "two", "three"], rows=["a", "bb"], real=(1,)), tmp_path / "s.png"))
    scale = 16  # 132 // 8
    for i in range(2):
        for j in range(3):
            expected = to_bytes(x[i, j][None], 32)[0].transpose(1, 2, 0).repeat(scale, 0).repeat(scale, 1)
            top = 24 + 34 + i * (8 * scale + 6)
            left = 24 + round(2 * 10.5) + 10 + j * (8 * scale + 6)
            # the frame's antialiased inner edge lies on the outermost pixels
            assert (np.abs(seen[top : top + 128, left : left + 128].astype(int) - expected)[2:-2, 2:-2] <= 1).all()
            blue = np.abs(seen[top - 3, left + 64].astype(int) - [0x00, 0x72, 0xB2]).max() < 40
            assert blue == (j == 1)


def test_figures_of_temperatures_and_reconstructions(tmp_path):
    x = RNG.integers(0, 256, (5, 1, 8, 8))
    shown = plots.temperatures({0.5: x, 1.0: 255 - x}, 256)
    assert [text.get_text() for text in shown.axes[0].texts] == ["temperature 0.5", "temperature 1"]
    back = x.copy()
    back[0, 0, 0, 0] += 2 if back[0, 0, 0, 0] < 128 else -2
    words = [text.get_text() for text in plots.reconstructions(x, back, 256).axes[0].texts]
    assert words == ["data", "from latent", "difference × 127"]
    words = [text.get_text() for text in plots.reconstructions(x, x, 256).axes[0].texts]
    assert words[-1] == "difference: 0"


def test_sample_writes_every_kind(cli, folder, tmp_path):
    common = ["sample", folder / "plain", "-n", 4, "--seed", 0]
    x = verbs.sample(folder / "plain", 4, seed=0)
    assert x.shape == (4, 3, 8, 8) and x.dtype == np.uint8
    code, out, _ = cli(*common, "-o", tmp_path / "s.png")
    assert code == 0 and out.startswith(f"4 images in {tmp_path / 's.png'}")
    sheet = picture(tmp_path / "s.png")
    assert sheet.shape == (128, 128, 3) and (sheet[4:64:8, 4:64:8] == x[0].transpose(1, 2, 0)).all()
    for ending in ("npy", "npz", "parquet"):
        assert cli(*common, "-o", tmp_path / f"s.{ending}")[0] == 0
    assert (np.load(tmp_path / "s.npy") == x).all()
    with np.load(tmp_path / "s.npz") as file:
        assert file.files == ["x"] and (file["x"] == x).all()
    images = [np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in pq.read_table(tmp_path / "s.parquet")["image"].to_pylist()]
    assert (np.stack(images).transpose(0, 3, 1, 2) == x).all()
    assert cli(*common, "-o", tmp_path / "many")[0] == 0
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["000.png", "001.png", "002.png", "003.png"]
    assert (picture(tmp_path / "many" / "002.png") == x[2].transpose(1, 2, 0)).all()
    code, _, err = cli(*common, "-o", tmp_path / "many")
    assert code == 2 and "not an empty folder" in err


def test_samples_of_labels_and_temperatures(cli, folder, tmp_path):
    x = verbs.sample(folder / "given", 3, tmp_path / "s.npz", context={"label": ["light", "dark"]}, temperature=[0.5, 1.0], seed=2)
    assert x.shape == (12, 3, 8, 8)
    with np.load(tmp_path / "s.npz") as file:
        assert file["label"].tolist() == (["light"] * 3 + ["dark"] * 3) * 2 and (file["x"] == x).all()
    one = verbs.sample(folder / "given", 3, context={"label": ["light", "dark"]}, seed=2)
    assert (one == x[6:]).all(), "the same latents at every temperature"
    spread = [part.astype(float).std() for part in (x[:6], x[6:])]
    assert spread[0] < spread[1], "cooler samples are nearer to the middle"
    code, out, _ = cli("sample", folder / "given", "-n", 2, "--context", "label=dark", "--temperature", "0.5,1", "-o", tmp_path / "t.png")
    assert code == 0 and "at temperature 0.5,1" in out
    assert cli("sample", folder / "given", "-n", 20, "--context", "label=light,dark", "-o", tmp_path / "s")[0] == 0
    again = load_images(tmp_path / "s", context="label")
    assert again.schema.context[0].vocabulary == ("dark", "light") and len(again.train) + len(again.valid) + len(again.test) == 40


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plain", "-n", "2"], "images need a place to go"),
        (["plain", "-o", "s.jpg"], "can't write images to"),
        (["plain", "-o", "nowhere/s.png"], "no folder"),
        (["given", "-o", "s.png"], "needs a context for label"),
        (["given", "-o", "s.png", "--context", "label=drak"], "not there in training"),
        (["plain", "-o", "s.png", "--temperature", "hot"], "numbers separated by commas"),
        (["plain", "-o", "s.png", "--temperature", "-1"], "temperature of 0 or more"),
    ],
)
def test_sample_refuses(cli, folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("sample", folder / arguments[0], *arguments[1:])
    assert code == 2 and words in err and not out
    assert not list(tmp_path.iterdir())


def test_interpolate(cli, folder, tmp_path):
    code, out, _ = cli("interpolate", folder / "plain", "--rows", "0:1,2:3", "--steps", 5, "-o", tmp_path / "s.png")
    assert code == 0 and out.startswith(f"{tmp_path / 's.png'}: Each row goes from an image to another along a spherical path")
    assert picture(tmp_path / "s.png").shape[0] > 200
    run = verbs.load(folder / "plain")
    test = load_images(folder / "images.parquet").test.x
    strip = verbs.interpolate(run, rows=[(0, 1)], steps=3, kind="linear")
    assert (strip.images[0, 0] == test[0].numpy()).all() and (strip.images[0, 2] == test[1].numpy()).all()
    z = (latent.encode(run.flow, test[:1]) + latent.encode(run.flow, test[1:2])) / 2
    assert (strip.images[0, 1] == latent.decode(run.flow, z)[0].numpy()).all()
    strip = verbs.interpolate(folder / "given", n=2, steps=3, data=folder / "images.parquet", seed=1)
    assert strip.images.shape == (2, 3, 3, 8, 8) and all(name.split(" to ")[0] in ("dark", "light") for name in strip.rows)


def test_interpolate_between_files(cli, folder, tmp_path):
    """Files are cut and resized as the run needs them: the second is three times as large."""
    strip = verbs.interpolate(folder / "plain", [folder / "a.png", folder / "b.png"], steps=3)
    assert (strip.images[0, 0] == picture(folder / "a.png").transpose(2, 0, 1)).all()
    assert (strip.images[0, 2] == picture(folder / "b.png")[1::3, 1::3].transpose(2, 0, 1)).all()
    common = ["-o", tmp_path / "s.png"]
    for arguments, words in (
        ([folder / "plain", folder / "a.png"], "two image files for each path"),
        ([folder / "plain", folder / "a.png", folder / "none.png"], "no such file"),
        ([folder / "given", folder / "a.png", folder / "b.png"], "needs label of every image"),
        ([folder / "plain", "--rows", "0:900"], "rows from 0 to 8, got 900"),
        ([folder / "plain", "--rows", "0-1"], "pairs of rows"),
        ([folder / "plain", "--data", folder / "images.parquet", "-o", tmp_path / "s.jpg"], "ends in .png"),
    ):
        code, _, err = cli("interpolate", *arguments, *([] if "-o" in arguments else common))
        assert code == 2 and words in err, arguments


@pytest.mark.parametrize("method", ["mean", "probe"])
def test_edit_along_a_direction(cli, folder, tmp_path, method):
    code, out, _ = cli(
        "edit", folder / "plain", "--label", "light", "--method", method, "--strengths", "-1,0,1", "-n", 4, "-o", tmp_path / "s.png"
    )
    assert code == 0 and "Each row is an image with less (−) and more (+) of light" in out
    assert "100 % of the time" in out, "brightness is plain to see"
    strip = verbs.edit(folder / "plain", "light:dark", method=method, strengths=(-1, 0, 1), n=4)
    assert strip.columns == ("−1", "data", "+1") and strip.rows == ("dark", "dark", "light", "light")
    brightness = strip.images.astype(float).mean((2, 3, 4))
    assert (np.diff(brightness, axis=1) > 0).all(), "more of light is brighter"
    assert method != "mean" or brightness[0, 2] - brightness[0, 1] > 30


def test_edit_finds_the_label(folder):
    assert verbs.edit(folder / "plain", "bright", n=2, strengths=[1]).rows == ("no", "yes")
    rows = verbs.edit(folder / "plain", "label=dark", rows=[0, 4], strengths=[0, 2])
    source = load_images(folder / "images.parquet")
    assert rows.rows == ("light", "dark") and rows.images.shape == (2, 2, *source.schema.shape)
    with pytest.raises(DataError, match="no label 'lihgt'; did you mean 'light'"):
        verbs.edit(folder / "plain", "lihgt")
    with pytest.raises(DataError, match="no label column 'labl'; did you mean 'label'"):
        verbs.edit(folder / "plain", "labl=dark")
    with pytest.raises(DataError, match="has no labels"):
        verbs.edit(folder / "bare", "dark")
    with pytest.raises(ValueError, match="expected a label, got none; 'label' has dark, light"):
        verbs.edit(folder / "plain")
    with pytest.raises(ValueError, match="needs a run that is given 'label'"):
        verbs.edit(folder / "plain", "dark", method="class")


def test_edit_of_classes(cli, folder, tmp_path):
    code, out, _ = cli("edit", folder / "given", "--rows", "0,1", "-o", tmp_path / "s.png")
    assert code == 0 and "encoded with its own label and decoded with others" in out
    strip = verbs.edit(folder / "given", rows=[0, 1])
    assert strip.columns == ("data", "dark", "light") and strip.rows == ("light", "dark")
    assert (strip.images[0, 2] == strip.images[0, 0]).all() and (strip.images[1, 1] == strip.images[1, 0]).all()
    assert (strip.images[0, 1] != strip.images[0, 0]).any()


def test_reconstruct(cli, folder, tmp_path):
    code, out, _ = cli("reconstruct", folder / "plain", "-n", 3, "-o", tmp_path / "s.png")
    assert code == 0 and out.startswith("9 of 9 images came back exactly, with 0 wrong pixels; the largest difference is 0 of 256 levels.")
    code, out, _ = cli("reconstruct", folder / "given", folder / "images.parquet", "--limit", 0, "--json", "-o", tmp_path / "s.png")
    assert code == 0 and json.loads(out) | {"checked": COUNT, "exact": COUNT, "wrong": 0, "error": 0.0} == json.loads(out)
    found = verbs.reconstruct(folder / "plain", n=4, resample=True)
    assert found.scales is not None and found.scales.columns == ("data", "from latent", "50 % new", "all new")
    images = found.scales.images
    assert (images[:, 0] == images[:, 1]).all() and (images[:, 2] != images[:, 0]).any() and (images[:, 3] != images[:, 2]).any()
    code, out, _ = cli("reconstruct", folder / "plain", "--resample", "-o", tmp_path / "r.png")
    assert code == 0 and "the finest of 2 scales first" in out


def test_runs_of_tables_are_refused(tmp_path):
    table = Run.create(tmp_path / "run", {"data": {}, "model": {"name": "nsf"}, "train": {}}, plain_schema())
    for verb in (verbs.interpolate, verbs.edit, verbs.reconstruct):
        with pytest.raises(ValueError, match="was fitted to a table"):
            verb(table)


def plain_schema():
    from pushforward.data import Schema

    return Schema([Column("a")])
