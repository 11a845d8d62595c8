"""Images from every kind of source, and every kind of bad one."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pushforward.data import HUB, DataError, ImageSchema, is_images, load_images, read_images, schema_from_json
from pushforward.data.images import rows_of_images

KINDS = ("cat", "dog", "eel")


def pictures(count: int = 30, shape: tuple[int, ...] = (6, 8), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(buffer, kind)
    return buffer.getvalue()


def hub_table(x: np.ndarray, image: str = "image", **labels) -> pa.Table:
    return pa.table({image: [{"bytes": encoded(pixels), "path": f"{i}.png"} for i, pixels in enumerate(x)], **labels})


def named(table: pa.Table, column: str, names: tuple[str, ...]) -> pa.Table:
    """The table with the Hub's names of labels."""
    features = {column: {"names": list(names), "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def folder(path, x: np.ndarray, parts=KINDS, ending: str = "png"):
    for i, pixels in enumerate(x):
        place = path / parts[i % len(parts)] / f"{i:03d}.{ending}"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    return path


def together(data) -> np.ndarray:
    """All splits, in an order that does not depend on theirs."""
    x = torch.cat([data.train.x, data.valid.x, data.test.x]).numpy()
    return np.array(sorted(x.reshape(len(x), -1).tolist()))


def test_parquet_of_the_hub(tmp_path):
    x, labels = pictures(), [i % 3 for i in range(30)]
    pq.write_table(named(hub_table(x, "img", label=labels), "label", KINDS), tmp_path / "train.parquet")
    assert is_images(tmp_path / "train.parquet") and is_images(str(tmp_path / "train.parquet"))
    data = load_images(tmp_path / "train.parquet", context=["label"])
    assert data.train.x.dtype == torch.uint8 and data.train.x.shape == (24, 1, 6, 8) and (len(data.valid), len(data.test)) == (3, 3)
    assert np.array_equal(together(data), np.array(sorted(x.reshape(30, -1).tolist())))
    assert data.schema.context[0].vocabulary == KINDS and data.schema.context_width == 3 and data.schema.context_shape == 1
    assert data.schema.shape == (1, 6, 8) and data.schema.levels == 256 and data.schema.discrete and data.schema.layers() == []
    order = np.random.default_rng(0).permutation(30)
    assert data.train.context[:, 0].tolist() == [labels[i] for i in order[:24]]
    assert data.schema.decode_context(data.train.context)["label"].to_pylist() == [KINDS[labels[i]] for i in order[:24]]
    assert data.schema.embed()(data.train.context).argmax(1).tolist() == [labels[i] for i in order[:24]]
    assert "24 images to train" in data.notes[0] and any("label, 3 labels (cat, dog, eel)" in note for note in data.notes)


def test_labels_without_names_are_in_the_order_of_numbers(tmp_path):
    labels = [(2, 10, 9)[i % 3] for i in range(30)]
    pq.write_table(hub_table(pictures(), label=labels, colour=["red"] * 30, share=np.linspace(0, 1, 30)), tmp_path / "a.parquet")
    data = load_images(tmp_path / "a.parquet", context=["label", "share"])
    assert data.schema.context[0].vocabulary == ("2", "9", "10") and data.schema.context_width == 4
    table = data.schema.decode_context(data.test.context)
    assert table["label"].type == pa.int64() and set(table["label"].to_pylist()) <= {2, 9, 10}
    assert any("colour" in note for note in data.notes)
    with pytest.raises(DataError, match="there is no label 'lable'; did you mean 'label'"):
        load_images(tmp_path / "a.parquet", context="lable")


def test_shards_patterns_and_splits(tmp_path):
    x = pictures(60)
    for i in range(3):
        pq.write_table(hub_table(x[20 * i : 20 * i + 20]), tmp_path / f"train-{i:05d}.parquet")
    whole = load_images(tmp_path)
    for source in (str(tmp_path / "train-*.parquet"), sorted(tmp_path.glob("*.parquet"))):
        assert is_images(source)
        assert torch.equal(load_images(source).train.x, whole.train.x)
    pq.write_table(hub_table(pictures(9, seed=1)), tmp_path / "test-00000.parquet")
    data = load_images(tmp_path)
    assert (len(data.train), len(data.valid), len(data.test)) == (54, 6, 9)
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(pictures(9, seed=1)))
    given = load_images(str(tmp_path / "train-*.parquet"), test=tmp_path / "test-00000.parquet")
    assert torch.equal(given.test.x, data.test.x) and torch.equal(given.train.x, data.train.x)
    assert len(read_images(tmp_path, data.schema).x) == 9


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "jpg"])
def test_folders(tmp_path, ending):
    x = pictures(30, (8, 8, 3))
    folder(tmp_path / "zoo", x, ending=ending)
    (tmp_path / "zoo" / "notes.txt").write_text("not an image")
    data = load_images(tmp_path / "zoo", context=["label"])
    assert is_images(tmp_path / "zoo") and data.schema.shape == (3, 8, 8) and data.schema.context[0].vocabulary == KINDS
    if ending in ("png", "bmp"):
        assert np.array_equal(together(data), np.array(sorted(x.transpose(0, 3, 1, 2).reshape(30, -1).tolist())))
    assert any("1 other file in zoo passed over" in note for note in data.notes)
    read = read_images(tmp_path / "zoo", data.schema)
    assert read.places[0] == f"cat/000.{ending}" and read.labels["label"][0].as_py() == "cat"
    assert rows_of_images(read, data.schema).context.shape == (30, 1)


def test_folders_of_splits(tmp_path):
    folder(tmp_path / "train", pictures(30))
    folder(tmp_path / "val", pictures(6, seed=1))
    data = load_images(tmp_path, context=["label"])
    assert (len(data.train), len(data.valid), len(data.test)) == (27, 6, 3) and data.schema.context[0].vocabulary == KINDS
    flat = folder(tmp_path / "flat", pictures(20), parts=("",))
    assert len(load_images(flat).train.x) == 16
    with pytest.raises(DataError, match="these images have no labels"):
        load_images(flat, context=["label"])
    with pytest.raises(DataError, match="holds neither images"):
        (tmp_path / "empty").mkdir()
        load_images(tmp_path / "empty")


def test_arrays(tmp_path):
    x = pictures(30, (6, 8, 3))
    for source in (x, torch.from_numpy(x), x.transpose(0, 3, 1, 2), x.astype(np.int64)):
        assert is_images(source)
        assert np.array_equal(together(load_images(source)), np.array(sorted(x.transpose(0, 3, 1, 2).reshape(30, -1).tolist())))
    np.save(tmp_path / "x.npy", x[..., 0])
    assert is_images(tmp_path / "x.npy") and load_images(tmp_path / "x.npy").schema.shape == (1, 6, 8)
    np.savez(tmp_path / "x.npz", images=x, kind=np.array(KINDS)[np.arange(30) % 3])
    assert is_images(tmp_path / "x.npz")
    assert load_images(tmp_path / "x.npz", context="kind").schema.context[0].vocabulary == KINDS
    black = load_images(x[..., 0] > 128)
    assert black.schema.levels == 2 and black.train.x.max() == 1
    assert load_images(hub_table(x)).schema.shape == (3, 6, 8) and is_images(hub_table(x))
    assert not is_images(x[:, 0, :, 0]) and not is_images(x.astype(float)) and not is_images(tmp_path / "absent.parquet")
    for bad, words in (
        (x / 255, "multiply by 255"),
        (x.astype(int) - 9, "rescale them"),
        (x[0, 0], "expected images of shape"),
        (pictures(30, (6, 8, 9)), "at most 4 of them"),
    ):
        with pytest.raises(DataError, match=words):
            load_images(bad)


def test_bits_and_levels():
    x = pictures()
    whole, five = load_images(x), load_images(x, bits=5)
    assert five.schema.levels == 32 and torch.equal(five.train.x, whole.train.x >> 3)
    assert torch.equal(rows_of_images(read_images(x, five.schema), five.schema).x, torch.from_numpy(x)[:, None] >> 3)
    with pytest.raises(DataError, match="1 to 8 bits"):
        load_images(x, bits=9)
    with pytest.raises(DataError, match="17 levels as it is"):
        load_images("digits", bits=5)
    assert any("largest value is 15 of 256" in note for note in load_images(x >> 4).notes)


def test_digits():
    data = load_images("digits", context=["label"])
    assert data.schema.shape == (1, 8, 8) and data.schema.levels == 17 and data.train.x.max() == 16 and data.schema.context_width == 10
    assert not is_images("digits"), "it stays a table unless a model of images is asked for"


def test_size_and_crop():
    x = np.zeros((20, 8, 12), np.uint8)
    x[:, :, 2:10] = 200  # the centred square
    x[:, 2:6, 4:8] = 100
    square = load_images(x, size=4)
    assert square.schema.shape == (1, 4, 4) and square.train.x.min() == 100 and square.train.x[0, 0, 0, 0] == 200, "boxes of whole pixels"
    assert load_images(x, crop=4).train.x.unique().tolist() == [100]
    assert load_images(x, size=(4, 6), crop="none").train.x[0, 0, 0, 0] == 0
    assert load_images(x, size=5).schema.shape == (1, 5, 5)
    assert any("resized to 4 x 4" in note for note in square.notes)
    again = schema_from_json(json.loads(json.dumps(square.schema.to_json())))
    assert again == square.schema and torch.equal(read_images(x, again).x[:16], square.train.x)
    with pytest.raises(DataError, match="too small to cut 9 x 9"):
        load_images(x, crop=9)
    with pytest.raises(DataError, match="crop must be"):
        load_images(x, crop="middle")


def test_sizes_that_differ(tmp_path):
    folder(tmp_path, pictures(10, (8, 8)))
    folder(tmp_path / "eel" / "large", pictures(12, (9, 16), seed=1))
    with pytest.raises(DataError, match=r"16 x 9 \(12\), 8 x 8 \(10\); give the size"):
        load_images(tmp_path)
    assert load_images(tmp_path, size=8).schema.shape == (1, 8, 8)


def test_modes(tmp_path):
    gray, colour = pictures(12), pictures(12, (6, 8, 3))
    folder(tmp_path / "a", gray, parts=("g",))
    folder(tmp_path / "a", colour, parts=("c",))
    data = load_images(tmp_path / "a")
    assert data.schema.shape[0] == 3 and any("12 of 24 images are gray" in note for note in data.notes)
    assert any("turned to gray" in note for note in load_images(tmp_path / "a", gray=True).notes)
    clear = np.concatenate([colour, np.zeros((12, 6, 8, 1), np.uint8)], 3)
    solid = np.concatenate([colour, np.full((12, 6, 8, 1), 255, np.uint8)], 3)
    folder(tmp_path / "b", np.concatenate([clear, solid]), parts=("x",))
    data = load_images(tmp_path / "b")
    white = (together(data) == 255).all(1)
    assert data.schema.shape[0] == 3 and white.sum() == 12 and any("12 of 24 images are partly transparent" in note for note in data.notes)
    deep = (pictures(20).astype(np.uint16) << 8) + 7
    for i, image in enumerate(deep):
        (tmp_path / "c").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "c" / f"{i}.png")
    data = load_images(tmp_path / "c")
    assert np.array_equal(together(data), np.array(sorted(pictures(20).reshape(20, -1).tolist())))
    assert any("16 bits" in note for note in data.notes)


def test_orientation_of_photographs(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i, image in enumerate(pictures(20, (16, 24))):
        Image.fromarray(image).save(tmp_path / f"{i}.jpg", exif=exif)
    assert load_images(tmp_path).schema.shape == (1, 24, 16)


def test_corrupt_images(tmp_path):
    good = encoded(pictures(1)[0])
    rows = [{"bytes": good, "path": None}] * 30
    pq.write_table(pa.table({"image": [*rows[:17], {"bytes": good[:40], "path": None}, *rows]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: row 17 .*can't be read as an image"):
        load_images(tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": [*rows[:3], {"bytes": None, "path": "x.png"}, *rows]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: row 3 .*holds no image"):
        load_images(tmp_path / "b.parquet")
    folder(tmp_path / "zoo", pictures(20))
    (tmp_path / "zoo" / "dog" / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"dog/bad\.png: can't be read as an image \(of no known format\)"):
        load_images(tmp_path / "zoo")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=r"can't be read as \.parquet"):
        load_images([tmp_path / "broken.parquet"])
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "table.parquet")
    assert not is_images(tmp_path / "table.parquet")
    with pytest.raises(DataError, match="has no column of images"):
        load_images(tmp_path / "table.parquet")
    with pytest.raises(DataError, match="no source of images"):
        load_images("minst")
    with pytest.raises(DataError, match="too few"):
        load_images(pictures(19))


def test_scoring_others_in_the_same_way(tmp_path):
    data = load_images(pictures(30, (8, 8, 3)), size=4, bits=3)
    read = read_images(folder(tmp_path, pictures(3, (16, 20))), data.schema)
    assert read.x.shape == (3, 3, 4, 4), "cut, resized, and gray made three channels"
    plain = load_images(pictures(30, (8, 8)))
    with pytest.raises(DataError, match=r"expected images of 1 x 8 x 8 .*got 1 x 6 x 8"):
        read_images(pictures(5), plain.schema)
    with pytest.raises(DataError, match="expected levels 0 to 16"):
        read_images(pictures(5, (8, 8)), load_images("digits").schema)
    known = load_images(hub_table(pictures(), label=["a", "b"] * 15), context=["label"])
    other = read_images(hub_table(pictures(), label=["a", "c"] * 15), known.schema)
    with pytest.raises(DataError, match="not there in training"):
        rows_of_images(other, known.schema)


def test_the_hub_is_known_without_a_network(monkeypatch):
    assert is_images("cifar10") and HUB["cifar10"].shape == (3, 32, 32) and HUB["celeba"].images == 162_770
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"pip install .*hub.* or download its parquet files from https://huggingface.co/datasets/ylecun/mnist"
    ):
        load_images("mnist")


class Offline:
    """Stands for the datasets library where there is no network."""

    @staticmethod
    def load_dataset(*_, **__):
        raise ConnectionError("Couldn't reach the Hub")


def test_no_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", Offline)
    with pytest.raises(DataError, match=r"mnist could not be downloaded \(Couldn't reach the Hub\)"):
        load_images("mnist")


def test_through_the_datasets_library(monkeypatch):
    """The real library on data made here, in place of a download."""
    datasets = pytest.importorskip("datasets")

    def made(repo, split):
        assert repo == HUB["cifar10"].repo
        count = {"train": 40, "test": 10}[split]
        features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=list(KINDS))})
        rows = {
            "img": [{"bytes": encoded(image), "path": None} for image in pictures(count, (32, 32, 3))],
            "label": [i % 3 for i in range(count)],
        }
        return datasets.Dataset.from_dict(rows, features=features)

    monkeypatch.setattr(datasets, "load_dataset", made)
    data = load_images("cifar10", context=["label"])
    assert data.train.x.shape == (36, 3, 32, 32) and len(data.test) == 10 and data.schema.context[0].vocabulary == KINDS
    assert np.array_equal(data.test.x.numpy(), pictures(10, (32, 32, 3)).transpose(0, 3, 1, 2))


def test_schema_is_kept():
    schema = load_images(hub_table(pictures(), label=["a", "b"] * 15), context=["label"], bits=4, crop=6).schema
    again = schema_from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema and isinstance(again, ImageSchema)
    with pytest.raises(DataError, match="not the description of images"):
        schema_from_json({"data": "images"})
