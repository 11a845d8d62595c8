"""Images larger than memory: each trains or is held out, once, and a run on them is as any other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_images_data import folder, hub_table

import pushforward as pf
from pushforward.data import load_images, pixels, scratch, stored_images
from pushforward.data.errors import DataError

COUNT, SIDE = 300, 6


@pytest.fixture
def small(monkeypatch):
    """More than 10 kB of pixels are on disk, and 30 images stand for all."""
    monkeypatch.setattr(scratch, "HELD", 10_000)
    monkeypatch.setattr(stored_images, "SAMPLE_IMAGES", 25)
    monkeypatch.setattr(pixels, "COPIED", 64)


def pictures(levels: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(levels, size=(COUNT, 1, SIDE, SIDE)).astype(np.uint8)


def counted(*parts: torch.Tensor) -> Counter:
    return Counter(image.numpy().tobytes() for part in parts for image in part)


def saved(place, kind: str):
    x = pictures()
    if kind == "folder":
        return folder(place / "images", x[:, 0], parts=("",)), x
    np.save(place / "x.npy", x if kind == "npy" else x.transpose(0, 2, 3, 1))
    return place / "x.npy", x


@pytest.mark.parametrize("kind", ["folder", "npy", "channels last"])
@pytest.mark.parametrize("bits", [8, 5])
def test_every_image_is_in_one_split(small, tmp_path, kind, bits):
    source, x = saved(tmp_path, kind)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    data = load_images(source, bits=bits)
    expected = counted(torch.from_numpy(x >> (8 - bits)))
    assert counted(data.stored.x, data.valid.x, data.test.x) == expected
    assert len(data.valid) == len(data.test) == 25 and len(data.train) == 25 and data.lesson is data.stored
    assert counted(data.train.x) <= counted(data.stored.x) and data.stored.window > COUNT
    assert any("All 250 training images are read from a file on disk" in note for note in data.notes)
    assert before == {path: path.read_bytes() for path in before}, "the files are left as they were"
    again = load_images(source, bits=bits)
    for ours, theirs in ((data.stored, again.stored), (data.train, again.train), (data.test, again.test)):
        assert torch.equal(ours.x, theirs.x)


def test_given_splits_and_labels_keep_together(small, tmp_path):
    """What is given for a split is taken whole, and an image that moves in the file takes its label along."""
    x = pictures()
    labels = x[:, 0, 0, 0] // 64
    np.savez(tmp_path / "test.npz", x=x[:20], label=labels[:20])
    pq.write_table(hub_table(x[:, 0], label=labels), tmp_path / "train.parquet")
    data = load_images(tmp_path / "train.parquet", test=tmp_path / "test.npz", context="label")
    assert torch.equal(data.test.x, torch.from_numpy(x[:20])) and len(data.stored) == COUNT - 25
    names = np.array(data.schema.context[0].vocabulary).astype(int)
    for rows in (data.stored, data.train, data.valid, data.test):
        assert np.array_equal(names[rows.context[:, 0].long()], rows.x[:, 0, 0, 0] // 64)


def test_arrays_of_the_caller_stay_in_memory(small):
    x = pictures()
    kept = x.copy()
    assert load_images(x).stored is None and np.array_equal(x, kept)


def test_no_room_on_the_disk(small, tmp_path, monkeypatch):
    source, _ = saved(tmp_path, "folder")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(DataError, match="left; set TMPDIR to a folder with more room, or give a smaller size, as size=32"):
        load_images(source)


def test_a_run_is_fitted_resumed_and_judged(small, tmp_path):
    source, _ = saved(tmp_path, "folder")
    asked = {"model.scales": 1, "model.steps": 1, "model.width": 4, "train.batch": 32}
    run = pf.fit(source, "glow", out=tmp_path / "run", options=asked | {"train.steps": 6}, report=False, progress=False)
    again = pf.fit(source, "glow", out=tmp_path / "run", options=asked | {"train.steps": 9}, resume=True, report=False, progress=False)
    assert pf.results(again)["scores"][0]["rows"] == 25
    assert pf.score(run, source).table.num_rows == COUNT
    (tmp_path / "images" / "000.png").unlink()
    with pytest.raises(ValueError, match="has changed since the fit, and is too large"):
        pf.fit(source, "glow", out=tmp_path / "run", options=asked | {"train.steps": 12}, resume=True, report=False, progress=False)


MEMORY = """
import json, resource, sys, threading, time
import numpy as np
from pushforward.data import scratch, pixels
import pushforward as pf

most = [0]
def watch():
    while True:
        with open("/proc/self/status") as file:
            most[0] = max(most[0], *(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
        time.sleep(0.02)

pf.fit(sys.argv[2], "glow", out=sys.argv[1] + "/small", options=json.loads(sys.argv[4]), report=False, progress=False)
threading.Thread(target=watch, daemon=True).start()
time.sleep(0.1)
before = most[0]
pf.fit(sys.argv[3], "glow", out=sys.argv[1] + "/large", options=json.loads(sys.argv[4]), report=False, progress=False)
print((most[0] - before) / 1024)
"""


@pytest.mark.slow
def test_memory_is_flat(tmp_path):
    """2.5 GB of pixels from a file: a fit takes a few hundred MB of memory of its own, those of the sample and of what is held out."""
    some = np.random.default_rng(0).integers(256, size=(8_000, 3, 32, 32)).astype(np.uint8)
    large = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (800_000, 3, 32, 32))
    for start in range(0, len(large), len(some)):
        large[start : start + len(some)] = np.roll(some, start // len(some), 0)
    np.save(tmp_path / "small.npy", some)
    options = {"model.scales": 1, "model.steps": 1, "model.width": 4, "train.batch": 64, "train.steps": 100}
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(tmp_path / "small.npy"), str(tmp_path / "large.npy"), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 600
