"""Images from strangers: only pixels are read, nothing is started, and what is damaged or made to hurt gets one sentence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import EpsImagePlugin, Image
from test_images_data import encoded, pictures

from pushforward.data import DataError, load, load_images

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n"


def folder_with(path: Path, content: bytes, name: str = "zz.png") -> Path:
    path.mkdir()
    for i, pixels in enumerate(pictures()):
        (path / f"{i:02d}.png").write_bytes(encoded(pixels))
    (path / name).write_bytes(content)
    return path


def hub_file(path: Path, content: bytes) -> Path:
    images = [*(encoded(pixels) for pixels in pictures()), content]
    pq.write_table(pa.table({"image": [{"bytes": image, "path": None} for image in images]}), path)
    return path


def density(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return f"image:{path}"


DOORS = {
    "folder": lambda path, content: load_images(folder_with(path / "images", content)),
    "parquet": lambda path, content: load_images(hub_file(path / "a.parquet", content)),
    "density": lambda path, content: load(density(path / "a.png", content)),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_program_is_started(door, tmp_path, monkeypatch):
    """A PostScript file that is called .png: Pillow's own door starts Ghostscript, here one that leaves a trace."""
    started = tmp_path / "started"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(DataError, match=r"can't be read as an image \(of no known format\); use one of PNG, JPEG"):
        DOORS[door](tmp_path, POSTSCRIPT)
    assert not started.exists()
    with pytest.raises(Exception, match="gs"), Image.open(io.BytesIO(POSTSCRIPT)) as image:
        image.load()
    assert started.exists(), "the trap works"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(kind: bytes, content: bytes) -> bytes:
    whole = encoded(pictures(1)[0])
    return whole[:33] + chunk(kind, content) + whole[33:]


TEXT = zlib.compress(bytes(64 * 2**20), 9)
BOMBS = {
    "zTXt": png_with(b"zTXt", b"a\0\0" + TEXT),
    "iTXt": png_with(b"iTXt", b"a\0\1\0\0\0" + TEXT),
    "pixels": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b""),
    "cut off": encoded(pictures(1)[0])[:60],
    "empty": b"",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused(door, bomb, tmp_path):
    with pytest.raises(DataError, match="can't be read as an image") as error:
        DOORS[door](tmp_path, BOMBS[bomb])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_animations_the_first_frame_is_taken_and_it_is_said(form, tmp_path):
    frames = [Image.fromarray(pixels).convert("L") for pixels in pictures(3, seed=1)]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:], lossless=True)
    data = load_images(hub_file(tmp_path / "a.parquet", buffer.getvalue()))
    assert any("1 of 31 images have several frames, of which the first was taken" in note for note in data.notes)
    data = load_images(hub_file(tmp_path / "b.parquet", encoded(pictures(1)[0])))
    assert not any("frames" in note for note in data.notes)


def test_labels_whose_names_are_nonsense(tmp_path):
    """The Hub's metadata are somebody's text as well."""
    table = pa.table({"image": [{"bytes": encoded(p), "path": None} for p in pictures()], "label": [i % 3 for i in range(30)]})
    names = b'{"info": {"features": {"label": {"names": [1, {}]}}}}'
    for words in (b"[", b"[]", b'{"info": 3}', b'{"info": {"features": []}}', names, b"[" * 9999):
        pq.write_table(table.replace_schema_metadata({"huggingface": words}), tmp_path / "a.parquet")
        assert load_images(tmp_path / "a.parquet", context="label").schema.context[0].vocabulary == ("0", "1", "2")


def test_arrays_of_images_from_elsewhere():
    x = pictures()
    data = load_images(x.astype(">u2"))
    assert np.array_equal(data.train.x, load_images(x).train.x)
    with pytest.raises(DataError, match="some of these are masked"):
        load_images(np.ma.masked_equal(x, x[0, 0, 0]))


def test_more_pixels_than_memory(tmp_path, monkeypatch):
    whole = folder_with(tmp_path / "images", encoded(pictures(1)[0]))
    monkeypatch.setattr("os.sysconf", lambda name: 2**11)  # a machine of 4 MiB
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 2**24}))
    with pytest.raises(DataError, match=r"take 0.0 GB, and .* has 0.0 GB left; set TMPDIR .* or give a smaller size"):
        load_images(whole, size=900)
